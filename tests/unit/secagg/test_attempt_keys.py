import pytest

from consilium.secagg.attempt_keys import (
    AttemptKeys,
    commit_secret,
    derive_pair_seed,
    derive_self_seed,
    public_key,
    seal_shares,
    unseal_shares,
)
from consilium.secagg.errors import SecAggRefusal
from secagg.hospitals import context

A, B = AttemptKeys(), AttemptKeys()
ROSTER = bytes(32)
SHARES = (b"s" * 33, b"k" * 33)


def pair_seed(of, roster=ROSTER, mine=A, other=B, pair=("a", "b")):
    return derive_pair_seed(of, roster, mine.mask_key, public_key(other.mask_key), pair)


def test_two_sites_derive_one_seed_and_it_is_of_one_sum():
    assert pair_seed(context()) == pair_seed(context(), mine=B, other=A, pair=("b", "a"))
    seeds = {
        pair_seed(context()), pair_seed(context(attempt=2)), pair_seed(context(round_number=2)),
        pair_seed(context(job="other")), pair_seed(context(), roster=bytes([1] * 32)),
        pair_seed(context(), pair=("a", "c")), derive_self_seed(context(), "a", A.self_secret),
        derive_self_seed(context(attempt=2), "a", A.self_secret),
        commit_secret(context(), "a", A.self_secret),
    }  # fmt: skip
    assert len(seeds) == 9


LOW_ORDER = [
    bytes(32),
    bytes([1, *bytes(31)]),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
]
"""Of https://cr.yp.to/ecdh.html: every private key has the same secret with them."""


@pytest.mark.parametrize("key", LOW_ORDER)
def test_a_public_key_of_low_order_is_refused(key):
    with pytest.raises(SecAggRefusal, match="low order"):
        derive_pair_seed(context(), ROSTER, A.mask_key, key, ("a", "b"))


def seal(of=None, roster=ROSTER, sender="a", receiver="b"):
    return seal_shares(
        of or context(), roster, A.channel_key, public_key(B.channel_key), sender=sender, receiver=receiver,
        shares=SHARES,
    )  # fmt: skip


def unseal(sealed):
    return unseal_shares(
        context(), ROSTER, B.channel_key, public_key(A.channel_key), sender="a", receiver="b", sealed=sealed
    )


def test_shares_are_read_by_their_receiver():
    assert unseal(seal()) == SHARES


def test_every_changed_byte_is_noticed():
    sealed = seal()
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(SecAggRefusal, match="changed"):
            unseal(bytes(changed))


@pytest.mark.parametrize("other", [
    {"of": context(attempt=2)}, {"of": context(round_number=2)}, {"of": context(job="other")},
    {"roster": bytes([1] * 32)}, {"sender": "c"}, {"receiver": "c"}, {"sender": "b", "receiver": "a"},
], ids=str)  # fmt: skip
def test_shares_of_another_sum_roster_sender_or_direction_can_not_be_read(other):
    with pytest.raises(SecAggRefusal, match="another sum"):
        unseal(seal(**other))
