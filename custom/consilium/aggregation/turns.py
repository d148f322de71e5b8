"""Updates that come one at a time, compared with those of other hospitals' turns."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median_high

_FEWEST_OTHERS = 2


class TurnPaces:
    """How long the updates of the hospitals' last turns were, for comparison with the next one.

    An update is compared with the median of the other hospitals' last turns, the higher one of two in the
    middle, so that no single hospital has the others' updates rejected by one that is hardly any. Where only
    one other hospital had a turn, it is compared with the longer of that one and its own hospital's last, and
    with nothing in that hospital's first turn.

    Args:
        ratio: Times the others' length that an update may be; None: no limit.

    Example:
        >>> paces = TurnPaces(6.0)
        >>> for site, pace in {"east": 1.0, "north": 1.1}.items():
        ...     paces.keep(site, pace)
        >>> paces.fault("south", 50.0)
        "it is 45.5 times as long as the others', and 6 times is the limit"
    """

    def __init__(self, ratio: float | None) -> None:
        self._ratio = ratio
        self._last: dict[str, float] = {}

    def fault(self, site: str, pace: float) -> str | None:
        """Return why a site's update is too long; None if it is not, or nothing is known.

        Args:
            site: Whose turn it is.
            pace: Length of the update, in the unit of the others'; above 0.
        """
        others = [one for name, one in self._last.items() if name != site]
        if len(others) >= _FEWEST_OTHERS:
            reference = median_high(others)
        elif others and site in self._last:
            reference = max(*others, self._last[site])
        else:
            return None
        if self._ratio is None or pace <= self._ratio * reference:
            return None
        times = pace / reference
        return f"it is {times:.3g} times as long as the others', and {self._ratio:g} times is the limit"

    def keep(self, site: str, pace: float) -> None:
        """Record the update of a site's turn; for one that counts."""
        self._last[site] = pace

    @property
    def values(self) -> dict[str, float]:
        """Length of the update of each site's last turn."""
        return dict(self._last)

    def restore(self, values: Mapping[str, float]) -> None:
        """Continue from `values`."""
        self._last = {str(site): float(pace) for site, pace in values.items()}
