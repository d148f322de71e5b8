"""A secret from shares of which some are false, and what is stated of their owner."""

import secrets

import pytest

from consilium.secagg.attempt_keys import commit_secret, public_key
from consilium.secagg.messages import Advertisement
from consilium.secagg.secret_recovery import recover_secret
from consilium.secagg.shamir import PRIME, SHARE_BYTES, split_secret
from consilium.secagg.survivor_policy import SurvivorPolicy

from .hospitals import context

SECRET = secrets.token_bytes(32)
OWNER = Advertisement(
    context=context(),
    site="west",
    identity=bytes(32),
    channel_key=bytes(32),
    mask_key=public_key(SECRET),
    self_commitment=commit_secret(context(), "west", SECRET),
    policy=SurvivorPolicy(),
    signature=bytes(64),
)


def shares(count, threshold=3, false=()):
    given = dict(enumerate(split_secret(SECRET, threshold=threshold, count=count), start=1))
    return given | dict(false)


@pytest.mark.parametrize("kind", ["self", "key"])
@pytest.mark.parametrize("count", [3, 4, 7])
def test_enough_shares_give_the_secret_and_speak_for_their_owner(kind, count):
    assert recover_secret(OWNER, kind, shares(count), 3) == (SECRET, True)


@pytest.mark.parametrize("kind", ["self", "key"])
def test_too_few_give_nothing_and_blame_nobody(kind):
    few = {place: share for place, share in shares(5).items() if place in (2, 5)}
    assert recover_secret(OWNER, kind, few, 3) == (None, True)


@pytest.mark.parametrize("kind", ["self", "key"])
@pytest.mark.parametrize("place", [1, 2, 3])
@pytest.mark.parametrize(
    "share",
    [bytes(SHARE_BYTES), PRIME.to_bytes(SHARE_BYTES, "big"), bytes([255]) * SHARE_BYTES],
    ids=["0", "p", "max"],
)
def test_one_false_share_is_harmless_if_there_is_one_to_spare_and_blames_its_owner(kind, place, share):
    """Also one that is no element of the field: a number as large as fits into the message."""
    false = {place: share}
    assert recover_secret(OWNER, kind, shares(4, false=false), 3) == (SECRET, False)
    assert recover_secret(OWNER, kind, shares(3, false=false), 3) == (None, False)


def test_a_false_share_that_is_not_needed_is_not_noticed():
    assert recover_secret(OWNER, "key", shares(4, false={4: bytes(SHARE_BYTES)}), 3) == (SECRET, True)


def test_shares_of_another_secret_give_none_and_blame_their_owner():
    other = dict(enumerate(split_secret(secrets.token_bytes(32), threshold=3, count=5), start=1))
    assert recover_secret(OWNER, "self", other, 3) == (None, False)


def test_the_secret_of_one_kind_is_not_taken_for_the_other():
    owner = OWNER.model_copy(update={"mask_key": public_key(secrets.token_bytes(32))})
    assert recover_secret(owner, "self", shares(3), 3) == (SECRET, True)
    assert recover_secret(owner, "key", shares(3), 3) == (None, False)
