"""Recovery of a site's secrets from the shares of others, checked against what the site signed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from consilium.secagg.attempt_keys import commit_secret, public_key
from consilium.secagg.errors import SecAggFailure
from consilium.secagg.messages import Advertisement
from consilium.secagg.shamir import combine_shares


def recover_self_secret(owner: Advertisement, shares: Mapping[int, bytes], threshold: int) -> bytes:
    """Return the secret of a survivor's own mask.

    Args:
        owner: What the survivor advertised.
        shares: Place of each site that gave a share to its share.
        threshold: How many shares are needed.

    Raises:
        SecAggFailure: The shares don't give it.
    """
    return _recover(
        owner,
        shares,
        threshold,
        lambda secret: commit_secret(owner.context, owner.site, secret) == owner.self_commitment,
    )


def recover_mask_key(owner: Advertisement, shares: Mapping[int, bytes], threshold: int) -> bytes:
    """Return the private mask key of a site that dropped out.

    Args:
        owner: What that site advertised.
        shares: Place of each site that gave a share to its share.
        threshold: How many shares are needed.

    Raises:
        SecAggFailure: The shares don't give it.
    """
    return _recover(owner, shares, threshold, lambda secret: public_key(secret) == owner.mask_key)


def _recover(
    owner: Advertisement, shares: Mapping[int, bytes], threshold: int, is_right: Callable[[bytes], bool]
) -> bytes:
    for places in _choices(sorted(shares), threshold):
        try:
            secret = combine_shares({place: shares[place] for place in places})
        except ValueError:
            continue
        if is_right(secret):
            return secret
    raise SecAggFailure(
        f"a secret of {owner.site} can't be recovered: it gave false shares to others, or one of them gave a "
        "false share now; begin another attempt"
    )


def _choices(places: list[int], threshold: int) -> Iterator[list[int]]:
    """Yield sets of as many places as are needed, so that one false share is in not all of them."""
    yield places[:threshold]
    for place in places[:threshold] if len(places) > threshold else ():
        yield [one for one in places if one != place][:threshold]
