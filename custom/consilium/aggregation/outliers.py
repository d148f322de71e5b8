"""Updates that are far longer than the others of a round."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median
from typing import Final

_OUTLIER_SCORE: Final = 3.5
_FEWEST_FOR_SPREAD: Final = 4


def find_outliers(paces: Mapping[str, float], ratio: float, *, before: float | None = None) -> dict[str, str]:
    """Return the sites whose updates are far longer than the others', each with the reason.

    From four updates on by the robust z-score of their logarithms, which is over 3.5 for an outlier (Iglewicz
    and Hoaglin 1993, ISBN 978-0873892476). The spread is 1.4826 times the median absolute deviation, and at
    least so much that `ratio` times the median is not an outlier. Of two or three updates, each is compared
    with the longest of the others, or, where these are all much shorter than the round before, with that
    round's median. A short update is not an outlier: it does no harm.

    Args:
        paces: Lengths of a round's updates by site, in any common unit; each above 0.
        ratio: Times the others' length that an update may always have.
        before: Median length of the round before; None if there is none.

    Example:
        >>> sorted(find_outliers({"east": 1.0, "north": 1.2, "south": 0.9, "west": 50.0}, 6.0))
        ['west']
    """
    if len(paces) >= _FEWEST_FOR_SPREAD:
        return _outliers_by_spread(paces, ratio)
    found = {}
    for site, pace in paces.items():
        reference = max((other for name, other in paces.items() if name != site), default=0.0)
        if before is not None and reference < before / ratio:
            reference = before
        if reference and pace > ratio * reference:
            found[site] = _too_long(pace / reference, ratio)
    return found


def _outliers_by_spread(paces: Mapping[str, float], ratio: float) -> dict[str, str]:
    center = median(paces.values())
    deviation = median(abs(math.log(pace / center)) for pace in paces.values())
    limit = math.exp(max(math.log(ratio), _OUTLIER_SCORE * 1.4826 * deviation))
    return {site: _too_long(pace / center, limit) for site, pace in paces.items() if pace > limit * center}


def _too_long(ratio: float, limit: float) -> str:
    return f"it is {ratio:.3g} times as long as the others', and {limit:.3g} times is the limit"
