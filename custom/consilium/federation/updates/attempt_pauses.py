"""Sites that a few attempts do without, because attempts with them failed."""

from __future__ import annotations

from collections.abc import Mapping


class AttemptPauses:
    """Leaves a site out of one attempt, the next time of two, then of four.

    For sites that may be at fault, while nothing proves it. One that spoils every attempt that it is in thus
    spoils few of many, and one that is honest is asked again.
    """

    def __init__(self) -> None:
        self._times: dict[str, int] = {}
        self._left: dict[str, int] = {}
        self._reasons: dict[str, str] = {}

    def begin(self) -> dict[str, str]:
        """Begin an attempt; returns the sites that it does without, each with the reason."""
        paused = {site: self._reasons[site] for site, left in self._left.items() if left}
        for site in paused:
            self._left[site] -= 1
        return paused

    def add(self, reasons: Mapping[str, str]) -> None:
        """Leave sites out of the next attempts.

        Args:
            reasons: Site to what failed.

        Example:
            >>> pauses = AttemptPauses()
            >>> for _ in range(2):
            ...     pauses.add({"west": "its shares could not be used"})
            ...     print([bool(pauses.begin()) for _ in range(4)])
            [True, False, False, False]
            [True, True, False, False]
        """
        for site, reason in reasons.items():
            self._left[site] = 2 ** min(self._times.get(site, 0), 30)
            self._times[site] = self._times.get(site, 0) + 1
            self._reasons[site] = reason
