"""vectors.json is what the package gives, and what a second program gives that knows the document only."""

import base64
import hashlib
import hmac
import json
from itertools import combinations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from consilium.secagg.messages import (
    Advertisement,
    Confirmation,
    ConfirmationList,
    Reveal,
    Roster,
    ShareBundle,
    ShareInbox,
    SurvivorList,
)
from consilium.secagg.server_session import ServerSession
from secagg.vectors import DROPPED, FILE, NAMES, make_vectors

VECTORS = json.loads(FILE.read_text())
SITES, MESSAGES = VECTORS["sites"], VECTORS["messages"]
PRIME = 2**256 + 297


def test_the_package_gives_the_vectors():
    assert make_vectors() == VECTORS


KINDS = {
    "advertisement of": Advertisement, "shares of": ShareBundle, "inbox of": ShareInbox,
    "confirmation of": Confirmation, "reveal of": Reveal, "roster": Roster, "survivors": SurvivorList,
    "confirmations": ConfirmationList,
}  # fmt: skip


def message(name):
    """A message of the file, as the package reads it."""
    of, _, _ = name.rpartition(" ")
    return KINDS[of or name].from_json(json.dumps(MESSAGES[name]))


def test_the_package_opens_the_sum_from_the_messages_of_the_file():
    server = ServerSession(message("roster").context)
    for name in NAMES:
        server.add_advertisement(message(f"advertisement of {name}"))
    assert server.close_advertising() == message("roster")
    for name in NAMES:
        server.add_shares(message(f"shares of {name}"))
    inboxes = server.close_sharing()
    assert all(inboxes[name] == message(f"inbox of {name}") for name in NAMES)
    left = [name for name in NAMES if name != DROPPED]
    for name in left:
        server.add_masked(name)
    assert server.close_masking() == message("survivors")
    for name in left:
        server.add_confirmation(message(f"confirmation of {name}"))
    assert server.close_confirming() == message("confirmations")
    for name in left:
        server.add_reveal(message(f"reveal of {name}"))
    assert [[one.seed.hex(), one.sign] for one in server.open_sum()] == VECTORS["opening_seeds"]


# What follows is written from docs/secure-aggregation.md and uses nothing of the package.


def encode(purpose, *parts):
    encoded = b""
    for part in ("consilium secagg 2", purpose, *parts):
        kind = {bytes: b"b", str: b"s", int: b"i"}[type(part)]
        content = part if kind == b"b" else str(part).encode()
        encoded += kind + len(content).to_bytes(8, "big") + content
    return encoded


def hkdf(secret, purpose, *parts):
    key = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(key, encode(purpose, *parts) + b"\x01", "sha256")


def raw(text):
    return base64.urlsafe_b64decode(text)


CONTEXT = (
    VECTORS["context"]["job"], VECTORS["context"]["round"], VECTORS["context"]["attempt"],
    raw(VECTORS["context"]["parameters"]),
)  # fmt: skip
ROSTER = bytes.fromhex(VECTORS["roster_digest"])


def secret(name, field):
    return bytes.fromhex(SITES[name][field])


def agree(one, other, field):
    peer = X25519PrivateKey.from_private_bytes(secret(other, field)).public_key()
    return X25519PrivateKey.from_private_bytes(secret(one, field)).exchange(peer)


def advertised(name):
    """The fields of an advertisement that are signed."""
    public = {
        field: X25519PrivateKey.from_private_bytes(secret(name, field)).public_key().public_bytes_raw()
        for field in ("channel_key", "mask_key")
    }
    identity = Ed25519PrivateKey.from_private_bytes(secret(name, "identity_seed"))
    key = identity.public_key().public_bytes_raw()
    commitment = hashlib.sha256(encode("self secret", *CONTEXT, name, secret(name, "self_secret"))).digest()
    statement = encode(
        "advertisement", *CONTEXT, name, key, public["channel_key"], public["mask_key"], commitment, 3, 0
    )
    return statement, identity.sign(statement)


def test_parameters_are_hashed_as_sorted_json():
    text = json.dumps(VECTORS["parameters"], sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(encode("parameters", text)).digest() == CONTEXT[3]


@pytest.mark.parametrize("name", NAMES)
def test_advertisements_are_signed(name):
    _, signature = advertised(name)
    assert raw(MESSAGES[f"advertisement of {name}"]["signature"]) == signature
    key = Ed25519PrivateKey.from_private_bytes(secret(name, "identity_seed")).public_key().public_bytes_raw()
    assert hashlib.sha256(key).hexdigest() == SITES[name]["fingerprint"]


def test_the_roster_is_hashed():
    parts = [part for name in NAMES for part in advertised(name)]
    assert hashlib.sha256(encode("roster", *CONTEXT, *parts)).digest() == ROSTER


def share(name, kind, place):
    """A site's share, of its secret and the drawn coefficients."""
    value = int.from_bytes(secret(name, {"self": "self_secret", "key": "mask_key"}[kind]), "big")
    for power, coefficient in enumerate(SITES[name][f"{kind}_coefficients"], start=1):
        value += int(coefficient, 16) * place**power
    return (value % PRIME).to_bytes(33, "big")


@pytest.mark.parametrize("sender", NAMES)
def test_shares_are_encrypted_for_their_receivers_and_signed(sender):
    for place, receiver in enumerate(NAMES, start=1):
        if receiver != sender:
            parts = (*CONTEXT, ROSTER, sender, receiver)
            key = hkdf(agree(sender, receiver, "channel_key"), "channel key", *parts)
            plain = share(sender, "self", place) + share(sender, "key", place)
            ciphertext = ChaCha20Poly1305(key).encrypt(bytes(12), plain, encode("channel", *parts))
            hashes = [
                hashlib.sha256(encode(f"{kind} share", *parts, share(sender, kind, place))).digest()
                for kind in ("self", "key")
            ]
            identity = Ed25519PrivateKey.from_private_bytes(secret(sender, "identity_seed"))
            signature = identity.sign(encode("shares", *parts, ciphertext, *hashes))
            sealed = MESSAGES[f"shares of {sender}"]["sealed"][receiver]
            fields = ("ciphertext", "self_hash", "key_hash", "signature")
            assert [raw(sealed[field]) for field in fields] == [ciphertext, *hashes, signature]


def pair_seed(one, other):
    return hkdf(agree(one, other, "mask_key"), "pair mask", *CONTEXT, ROSTER, *sorted((one, other))).hex()


def self_seed(name):
    return hkdf(secret(name, "self_secret"), "self mask", *CONTEXT, name).hex()


LEFT = [name for name in NAMES if name != DROPPED]


@pytest.mark.parametrize("name", LEFT)
def test_masks_are_derived(name):
    pairs = [[pair_seed(name, one), 1 if name < one else -1] for one in NAMES if one != name]
    assert SITES[name]["mask_seeds"] == [*pairs, [self_seed(name), 1]]


@pytest.mark.parametrize("name", LEFT)
def test_the_list_of_survivors_is_signed(name):
    statement = encode("survivors", *CONTEXT, ROSTER, name, len(NAMES), *NAMES, len(LEFT), *LEFT)
    signature = Ed25519PrivateKey.from_private_bytes(secret(name, "identity_seed")).sign(statement)
    assert raw(MESSAGES[f"confirmation of {name}"]["signature"]) == signature


@pytest.mark.parametrize("name", LEFT)
def test_one_kind_of_share_is_revealed_of_each_site(name):
    place = NAMES.index(name) + 1
    revealed = MESSAGES[f"reveal of {name}"]
    assert {one: raw(text) for one, text in revealed["self_shares"].items()} == {
        one: share(one, "self", place) for one in LEFT if one != name
    }
    assert raw(revealed["self_secret"]) == secret(name, "self_secret")
    assert {one: raw(text) for one, text in revealed["key_shares"].items()} == {
        DROPPED: share(DROPPED, "key", place)
    }


def test_the_sum_is_opened():
    opening = [[self_seed(name), -1] for name in LEFT]
    opening += [[pair_seed(DROPPED, name), -1 if name < DROPPED else 1] for name in LEFT]
    assert VECTORS["opening_seeds"] == opening
    added = [SITES[name]["vector"] for name in LEFT]
    assert VECTORS["sum"] == [sum(values) % 2**32 for values in zip(*added, strict=True)]
    masked = [SITES[name]["masked"] for name in LEFT]
    assert VECTORS["masked_sum"] == [sum(values) % 2**32 for values in zip(*masked, strict=True)]


def test_the_vectors_have_no_value_in_common_that_should_be_secret_for_itself():
    fields = ("identity_seed", "channel_key", "mask_key", "self_secret")
    values = [SITES[name][field] for name in NAMES for field in fields]
    values += [pair_seed(*pair) for pair in combinations(NAMES, 2)] + [self_seed(name) for name in NAMES]
    assert len({*values}) == len(values)
    assert X25519PublicKey.from_public_bytes(raw(MESSAGES["roster"]["advertisements"][0]["mask_key"]))
