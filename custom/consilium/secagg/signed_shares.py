"""Shares for other sites, encrypted, and signed by their sender with hashes that name who gave a false one.

A sender can't deny what it signed, and a holder can't give another share than the sender signed the hash of.
So of a share that is false, one of the two is known to be at fault: the holder, if the hash is not that of
what it gives; the sender, if shares with the right hashes are not of one secret.
"""

from __future__ import annotations

from consilium.secagg.attempt_keys import hash_share, seal_shares, unseal_shares
from consilium.secagg.errors import SecAggRefusal
from consilium.secagg.identity import SiteIdentity, is_signed
from consilium.secagg.messages import Advertisement, SealedShares, SumContext


def sign_shares(
    context: SumContext,
    roster: bytes,
    identity: SiteIdentity,
    channel_key: bytes,
    *,
    sender: str,
    receiver: Advertisement,
    shares: tuple[bytes, bytes],
) -> SealedShares:
    """Encrypt a site's shares of its two secrets for another site, and sign them.

    Args:
        context: Of the sum.
        roster: Digest of the roster.
        identity: Of the sender.
        channel_key: The sender's private key for encryption.
        sender: Whose secrets the shares are of.
        receiver: Whom they are for.
        shares: Of the self-mask secret and of the mask key.

    Raises:
        SecAggRefusal: The receiver's key can't be used.
    """
    ciphertext = seal_shares(
        context, roster, channel_key, receiver.channel_key,
        sender=sender, receiver=receiver.site, shares=shares,
    )  # fmt: skip
    unsigned = SealedShares(
        ciphertext=ciphertext,
        self_hash=hash_share(context, roster, "self", sender, receiver.site, shares[0]),
        key_hash=hash_share(context, roster, "key", sender, receiver.site, shares[1]),
        signature=bytes(64),
    )
    statement = unsigned.statement(context, roster, sender, receiver.site)
    return unsigned.model_copy(update={"signature": identity.sign(statement)})


def are_signed(roster: bytes, sender: Advertisement, receiver: str, sealed: SealedShares) -> bool:
    """Return whether a site signed these shares for another one."""
    statement = sealed.statement(sender.context, roster, sender.site, receiver)
    return is_signed(sender.identity, statement, sealed.signature)


def read_shares(
    roster: bytes, channel_key: bytes, *, sender: Advertisement, receiver: str, sealed: SealedShares
) -> tuple[bytes, bytes] | None:
    """Return the shares that another site sent, or None if that site sent some that are of no use.

    Args:
        roster: Digest of the roster.
        channel_key: The receiver's private key for encryption.
        sender: Whose secrets they are shares of.
        receiver: Whom they are for.
        sealed: As they arrived.

    Raises:
        SecAggRefusal: The sender did not sign this: they were changed, or are of another sum, sender or
            receiver. The server relayed them, so it is at fault, or one that the server let in.
    """
    if not are_signed(roster, sender, receiver, sealed):
        raise SecAggRefusal(f"the shares of {sender.site} for {receiver} were changed or are of another sum")
    context = sender.context
    try:
        shares = unseal_shares(
            context, roster, channel_key, sender.channel_key,
            sender=sender.site, receiver=receiver, sealed=sealed.ciphertext,
        )  # fmt: skip
    except SecAggRefusal:
        return None
    hashes = (
        hash_share(context, roster, "self", sender.site, receiver, shares[0]),
        hash_share(context, roster, "key", sender.site, receiver, shares[1]),
    )
    return shares if hashes == (sealed.self_hash, sealed.key_hash) else None
