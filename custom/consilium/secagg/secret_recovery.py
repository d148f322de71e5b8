"""Recovery of a site's secrets from the shares of others, and the sites whose shares are proven false.

Every share that is used has the hash that its owner signed, so no holder of shares can spoil a recovery, nor
have an owner blamed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from consilium.secagg.attempt_keys import ShareKind, commit_secret, hash_share, public_key
from consilium.secagg.messages import Advertisement, Reveal, ShareBundle
from consilium.secagg.shamir import combine_shares


class Recovery(NamedTuple):
    """What shares give.

    Attributes:
        secret: The secret; None if the shares don't give it.
        consistent: Whether they are of one secret, as far as that shows. If not, their owner is at fault.
    """

    secret: bytes | None
    consistent: bool


def recover_secret(
    owner: Advertisement, kind: ShareKind, shares: Mapping[int, bytes], threshold: int
) -> Recovery:
    """Recover one of a site's two secrets.

    If the first shares don't give it, sets that lack one of these are tried, at most `threshold` of them:
    one false share is then harmless.

    Args:
        owner: What the site advertised, with which the secret is compared.
        kind: Which secret.
        shares: Place of each site that gave a share to its share, each with the hash that the owner signed.
        threshold: How many shares are needed.
    """
    if len(shares) < threshold:
        return Recovery(None, consistent=True)
    for number, places in enumerate(_choices(sorted(shares), threshold)):
        try:
            secret = combine_shares({place: shares[place] for place in places})
        except ValueError:
            continue
        if _is_of(owner, kind, secret):
            return Recovery(secret, consistent=number == 0)
    return Recovery(None, consistent=False)


def find_falsehood(
    reveal: Reveal, advertisement: Advertisement, roster: bytes, bundles: Mapping[str, ShareBundle]
) -> str | None:
    """Return what is false in what a site gave, in words; None if nothing is.

    Args:
        reveal: What it gave.
        advertisement: What it advertised.
        roster: Digest of the roster.
        bundles: The shares that the sites signed, by the site that they are of.
    """
    site, context = reveal.site, reveal.context
    if not _is_of(advertisement, "self", reveal.self_secret):
        return "it gave another secret of its own mask than it had committed to"
    for owner, share in reveal.self_shares.items():
        if hash_share(context, roster, "self", owner, site, share) != bundles[owner].sealed[site].self_hash:
            return f"it gave another share of the self-mask secret of {owner} than {owner} had signed for it"
    for owner, share in reveal.key_shares.items():
        if hash_share(context, roster, "key", owner, site, share) != bundles[owner].sealed[site].key_hash:
            return f"it gave another share of the mask key of {owner} than {owner} had signed for it"
    return None


def _is_of(owner: Advertisement, kind: ShareKind, secret: bytes) -> bool:
    if kind == "self":
        return commit_secret(owner.context, owner.site, secret) == owner.self_commitment
    return public_key(secret) == owner.mask_key


def _choices(places: list[int], threshold: int) -> Iterator[list[int]]:
    """Yield sets of as many places as are needed, so that one false share is in not all of them."""
    yield places[:threshold]
    for place in places[:threshold] if len(places) > threshold else ():
        yield [one for one in places if one != place][:threshold]
