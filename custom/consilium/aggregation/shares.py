"""Shares of the sites in a weighted mean, and their limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_FEASIBLE: Final = 1.5
"""How many times an equal share is always allowed: with less, no site could have more than another."""


def largest_share(sites: int, max_share: float) -> float:
    """Return the largest share that one of so many sites may have.

    Args:
        sites: How many there are, at least 1.
        max_share: What the job allows. One and a half times an equal share is always allowed: of two sites
            3/4, of a single one everything.

    Example:
        >>> [largest_share(sites, 0.5) for sites in (1, 2, 3, 10)]
        [1.0, 0.75, 0.5, 0.5]
    """
    return min(1.0, max(max_share, _FEASIBLE / sites))


def weighted_shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Return each site's share of the sum of all weights.

    Args:
        weights: By site; none is negative. Where all are 0, every site has the same share.
    """
    total = sum(weights.values())
    return {site: weight / total if total else 1 / len(weights) for site, weight in weights.items()}


def limited_shares(weights: Mapping[str, float], max_share: float) -> dict[str, float]:
    """Return each site's share, where no site has more than `largest_share`.

    What a site has above that goes to the others, in proportion to their weights, repeatedly until
    no site is above it. A site with a larger weight never gets a smaller share.

    Args:
        weights: By site; none is negative.
        max_share: See `largest_share`.

    Returns:
        Shares that add up to 1.

    Example:
        >>> limited_shares({"east": 6, "north": 90, "west": 4}, 0.5)
        {'east': 0.3, 'north': 0.5, 'west': 0.2}
    """
    limit = largest_share(len(weights), max_share)
    shares = weighted_shares(weights)
    limited: set[str] = set()
    while above := {site for site, share in shares.items() if share > limit and site not in limited}:
        limited |= above
        rest = {site: weight for site, weight in weights.items() if site not in limited}
        left = 1.0 - limit * len(limited)
        shares = dict.fromkeys(limited, limit) | {
            site: share * left for site, share in weighted_shares(rest).items()
        }
    return {site: shares[site] for site in weights}
