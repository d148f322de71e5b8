"""Keys of one site for one attempt, what two sites derive from them, and encryption between sites.

All of it is drawn again for every attempt and never stored. The mask key and the self-mask secret are the two
secrets that the other sites hold shares of; opening one of them opens this attempt and no other.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from consilium.secagg.errors import SecAggRefusal
from consilium.secagg.messages import SumContext
from consilium.secagg.shamir import SHARE_BYTES
from consilium.secagg.statements import digest_statement, encode_statement

ShareKind: TypeAlias = Literal["self", "key"]
"""Of the self-mask secret, or of the mask key."""

_NONCE: Final = bytes(12)
"""Of every encryption: each key encrypts one message, as it is of one sender, receiver and attempt."""


class AttemptKeys:
    """The secrets of one site in one attempt.

    Args:
        random: Source of random bytes; another one is for test vectors only.

    Attributes:
        channel_key: Private key for encryption between sites; nobody has shares of it.
        mask_key: Private key that the seeds of pairwise masks are derived from.
        self_secret: Secret that the site's own mask is derived from.
    """

    def __init__(self, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self.channel_key = random(32)
        self.mask_key = random(32)
        self.self_secret = random(32)


def public_key(private_key: bytes) -> bytes:
    """Return the X25519 public key of a private one, 32 bytes each."""
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def commit_secret(context: SumContext, site: str, self_secret: bytes) -> bytes:
    """Return the hash by which a recovered self-mask secret is recognized; it hides 256 random bits."""
    return digest_statement("self secret", *context.parts, site, self_secret)


def hash_share(
    context: SumContext, roster: bytes, kind: ShareKind, owner: str, holder: str, share: bytes
) -> bytes:
    """Return the hash by which a share is recognized when its holder gives it.

    Below the threshold a share is as random as a key of 256 bits, so its hash shows nothing of it.

    Args:
        context: Of the sum.
        roster: Digest of the roster.
        kind: Which of the owner's two secrets it is a share of.
        owner: Whose secret that is.
        holder: Whom the share is for.
        share: The share.
    """
    return digest_statement(f"{kind} share", *context.parts, roster, owner, holder, share)


def is_low_order(peer_key: bytes) -> bool:
    """Return whether a public key is one of the few that have the same secret with every private key."""
    try:
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(peer_key))
    except ValueError:
        return True
    return False


def derive_self_seed(context: SumContext, site: str, self_secret: bytes) -> bytes:
    """Return the seed of a site's own mask."""
    return _derive(self_secret, "self mask", *context.parts, site)


def derive_pair_seed(
    context: SumContext, roster: bytes, private_key: bytes, peer_key: bytes, pair: tuple[str, str]
) -> bytes:
    """Return the seed of the mask that two sites share.

    Args:
        context: Of the sum.
        roster: Digest of the roster.
        private_key: Mask key of one of the two.
        peer_key: Public mask key of the other.
        pair: The names of the two, in any order.

    Raises:
        SecAggRefusal: The public key is one of the few that have the same secret with every other.
    """
    shared = _agree(private_key, peer_key, pair)
    return _derive(shared, "pair mask", *context.parts, roster, *sorted(pair))


def seal_shares(
    context: SumContext,
    roster: bytes,
    private_key: bytes,
    peer_key: bytes,
    *,
    sender: str,
    receiver: str,
    shares: tuple[bytes, bytes],
) -> bytes:
    """Encrypt the shares of the sender's two secrets for another site.

    Args:
        context: Of the sum.
        roster: Digest of the roster.
        private_key: Channel key of the sender.
        peer_key: Public channel key of the receiver.
        sender: Whose secrets these are shares of.
        receiver: Who may read them.
        shares: Of the self-mask secret and of the mask key.

    Raises:
        SecAggRefusal: As `derive_pair_seed`.
    """
    return encrypt_once(
        context, roster, private_key, peer_key, sender=sender, receiver=receiver, content=b"".join(shares)
    )


def unseal_shares(
    context: SumContext,
    roster: bytes,
    private_key: bytes,
    peer_key: bytes,
    *,
    sender: str,
    receiver: str,
    sealed: bytes,
) -> tuple[bytes, bytes]:
    """Decrypt what `seal_shares` made; the arguments are those of the receiver.

    Raises:
        SecAggRefusal: It is none of this sender, receiver, roster and attempt, or the sender's key can't be
            used.
    """
    shares = decrypt(
        context, roster, private_key, peer_key, sender=sender, receiver=receiver, sealed=sealed, what="shares"
    )
    return shares[:SHARE_BYTES], shares[SHARE_BYTES:]


def encrypt_once(
    context: SumContext,
    roster: bytes,
    private_key: bytes,
    peer_key: bytes,
    *,
    sender: str,
    receiver: str,
    content: bytes,
) -> bytes:
    """Encrypt one message of an attempt for another site; with the same keys, never a second one.

    Args:
        context: Of the attempt.
        roster: Digest of the roster.
        private_key: Channel key of the sender.
        peer_key: Public channel key of the receiver.
        sender: Who it is of.
        receiver: Who may read it.
        content: The message.

    Raises:
        SecAggRefusal: As `derive_pair_seed`.
    """
    shared = _agree(private_key, peer_key, (sender, receiver))
    key, associated = _channel(context, roster, shared, sender, receiver)
    return ChaCha20Poly1305(key).encrypt(_NONCE, content, associated)


def decrypt(
    context: SumContext,
    roster: bytes,
    private_key: bytes,
    peer_key: bytes,
    *,
    sender: str,
    receiver: str,
    sealed: bytes,
    what: str,
) -> bytes:
    """Decrypt what `encrypt_once` made; the keys are those of the receiver.

    Args:
        context: Of the attempt.
        roster: Digest of the roster.
        private_key: Channel key of the receiver.
        peer_key: Public channel key of the sender.
        sender: Who it is of.
        receiver: Who reads it.
        sealed: As it arrived.
        what: What it is, for a refusal.

    Raises:
        SecAggRefusal: It is none of this sender, receiver, roster and attempt, or the sender's key can't be
            used.
    """
    shared = _agree(private_key, peer_key, (sender, receiver))
    key, associated = _channel(context, roster, shared, sender, receiver)
    try:
        return ChaCha20Poly1305(key).decrypt(_NONCE, sealed, associated)
    except InvalidTag:
        raise SecAggRefusal(
            f"the {what} of {sender} for {receiver} were changed or are of another sum"
        ) from None


def _agree(private_key: bytes, peer_key: bytes, pair: tuple[str, str]) -> bytes:
    try:
        return X25519PrivateKey.from_private_bytes(private_key).exchange(
            X25519PublicKey.from_public_bytes(peer_key)
        )
    except ValueError:  # the shared secret would be 0 whatever the private key is
        raise SecAggRefusal(f"a key that {pair[0]} and {pair[1]} can't use: it is of low order") from None


def _channel(
    context: SumContext, roster: bytes, shared: bytes, sender: str, receiver: str
) -> tuple[bytes, bytes]:
    """Return key and associated data of one direction between two sites."""
    parts = (*context.parts, roster, sender, receiver)
    return _derive(shared, "channel key", *parts), encode_statement("channel", *parts)


def _derive(secret: bytes, purpose: str, *parts: bytes | str | int) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=encode_statement(purpose, *parts)).derive(secret)
