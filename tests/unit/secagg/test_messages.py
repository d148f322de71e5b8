import json

import pytest
from pydantic import ValidationError

from consilium.secagg.errors import SecAggRefusal
from consilium.secagg.messages import (
    LONGEST_MESSAGE,
    Advertisement,
    Confirmation,
    ConfirmationList,
    Reveal,
    Roster,
    SealedShares,
    ShareBundle,
    ShareInbox,
    SurvivorList,
    digest_parameters,
)
from consilium.secagg.survivor_policy import SurvivorPolicy
from secagg.hospitals import context, names_of

NAMES = sorted(names_of(128))
CONTEXT = context(round_number=1_000_000, attempt=1_000_000_000, job="j" * 64)


def advertisement(name):
    return Advertisement(
        context=CONTEXT, site=name, identity=bytes(32), channel_key=bytes(32), mask_key=bytes(32),
        self_commitment=bytes(32), policy=SurvivorPolicy(), signature=bytes(64),
    )  # fmt: skip


SEALED = SealedShares(ciphertext=bytes(82), self_hash=bytes(32), key_hash=bytes(32), signature=bytes(64))
LARGEST = [
    CONTEXT,
    advertisement("x"),
    Roster(context=CONTEXT, advertisements=[advertisement(name) for name in NAMES]),
    ShareBundle(context=CONTEXT, site="x", sealed=dict.fromkeys(NAMES, SEALED)),
    ShareInbox(context=CONTEXT, sealed=dict.fromkeys(NAMES, SEALED)),
    SurvivorList(context=CONTEXT, sharers=NAMES, survivors=NAMES),
    SEALED,
    Confirmation(context=CONTEXT, site="x", signature=bytes(64), lacking=NAMES),
    ConfirmationList(context=CONTEXT, signatures=dict.fromkeys(NAMES, bytes(64))),
    Reveal(
        context=CONTEXT,
        site="x",
        self_secret=bytes(32),
        self_shares=dict.fromkeys(NAMES, bytes(33)),
        key_shares={},
    ),
]


WRONG = [None, 1.5, "x y", [], {"x": ""}, True, "A" * 1000]


@pytest.mark.parametrize("message", LARGEST, ids=lambda one: type(one).__name__)
def test_the_largest_message_is_read_back_and_an_unknown_field_is_refused(message):
    kind, text = type(message), message.to_json()
    assert kind.from_json(text) == message
    assert len(text) < LONGEST_MESSAGE
    with pytest.raises(SecAggRefusal, match=f"{kind.__name__}: its form is wrong"):
        kind.from_json(json.dumps({**json.loads(text), "further": 1}))
    for key in json.loads(text):
        for value in (one for one in WRONG if (key, one) != ("lacking", [])):
            with pytest.raises(SecAggRefusal, match=f"{kind.__name__}: its form is wrong"):
                kind.from_json(json.dumps({**json.loads(text), key: value}))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "x" * (LONGEST_MESSAGE + 1), None, b"{}"])
def test_what_is_no_message_is_refused_and_not_quoted(text):
    with pytest.raises(SecAggRefusal, match="Roster: ") as caught:
        Roster.from_json(text)
    assert len(str(caught.value)) < 100


def test_sites_are_in_order_and_each_once():
    for names in (["b", "a"], ["a", "a"]):
        with pytest.raises(ValidationError, match="in order, each once"):
            SurvivorList(context=CONTEXT, sharers=names, survivors=["a"])
        with pytest.raises(ValidationError, match="in order, each once"):
            Confirmation(context=CONTEXT, site="x", signature=bytes(64), lacking=names)
        with pytest.raises(ValidationError, match="in order, each once"):
            Roster(context=CONTEXT, advertisements=[advertisement(name) for name in names])


def test_every_field_of_what_is_signed_changes_it():
    one = advertisement("x")
    changes = {
        "site": "y", "identity": bytes([1] * 32), "channel_key": bytes([1] * 32), "mask_key": bytes([1] * 32),
        "self_commitment": bytes([1] * 32), "policy": SurvivorPolicy(min_survivors=4), "context": context(),
    }  # fmt: skip
    assert changes.keys() | {"signature"} == {*Advertisement.model_fields}
    statements = {one.model_copy(update={key: value}).statement for key, value in changes.items()}
    assert len(statements | {one.statement}) == len(changes) + 1


def test_every_field_of_signed_shares_changes_what_is_signed():
    changes = {
        "ciphertext": bytes([1] * 82),
        "self_hash": bytes([1] * 32),
        "key_hash": bytes([1] * 32),
    }
    assert changes.keys() | {"signature"} == {*SealedShares.model_fields}
    of = (CONTEXT, bytes(32), "a", "b")
    statements = {SEALED.model_copy(update={key: value}).statement(*of) for key, value in changes.items()}
    for other in (
        (context(), *of[1:]),
        (CONTEXT, bytes([1] * 32), *of[2:]),
        (*of[:2], "b", "a"),
        (*of[:3], "c"),
    ):
        statements.add(SEALED.statement(*other))
    assert len(statements | {SEALED.statement(*of)}) == 8


def test_sharers_and_survivors_can_not_be_exchanged_in_what_is_signed():
    lists = [
        SurvivorList(context=CONTEXT, sharers=["a", "b", "c"], survivors=["d"]),
        SurvivorList(context=CONTEXT, sharers=["a", "b"], survivors=["c", "d"]),
    ]
    assert len({one.statement(bytes(32), "a") for one in lists}) == 2
    assert lists[0].statement(bytes(32), "a") != lists[0].statement(bytes(32), "b")
    assert lists[0].statement(bytes(32), "a") != lists[0].statement(bytes([1] * 32), "a")


def test_other_parameters_have_another_digest():
    assert digest_parameters({"ring": 32}) != digest_parameters({"ring": 16})
    with pytest.raises(ValueError, match="JSON"):
        digest_parameters({"clip": float("nan")})
