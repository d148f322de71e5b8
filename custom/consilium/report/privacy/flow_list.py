"""List of data flows while it is made, and the phrases that its entries share."""

from __future__ import annotations

from typing import Final

from consilium.counts import counted
from consilium.report.privacy.statement import DataFlow, NotSent

TLS: Final = "encrypted on the way (TLS)"
GROUPED: Final = "minimum, fixed groups of patients; no noise"
RESULT: Final = "in the result: project admin, lead, readers of its report"
NO_HOSPITAL: Final = "no"


def patients(count: int) -> str:
    """Return the fewest patients behind something, in words."""
    return f"at least {counted(count, 'patient')}"


class FlowList:
    """Collects what leaves and what is held back, in order."""

    def __init__(self) -> None:
        self._sent: list[DataFlow] = []
        self._held: list[NotSent] = []

    def add(
        self,
        key: str,
        what: str,
        about: str,
        minimum: str,
        *,
        server: str = "yes",
        users: str,
        hospitals: str = NO_HOSPITAL,
        protection: str = TLS,
    ) -> None:
        """Add something that leaves; see `DataFlow`."""
        self._sent.append(
            DataFlow(
                key=key,
                what=what,
                about=about,
                minimum=minimum,
                server=server,
                users=users,
                hospitals=hospitals,
                protection=protection,
            )
        )

    def add_grouped_count(self, key: str, what: str, about: str, fewest: int, *, few: str = "“few”") -> None:
        """Add counts that leave only of enough patients.

        Args:
            key: See `DataFlow`.
            what: See `DataFlow`.
            about: See `DataFlow`.
            fewest: Fewest patients behind a count.
            few: What is sent of fewer.
        """
        minimum = f"{patients(fewest)}; with fewer {few}"
        self.add(key, what, about, minimum, users=RESULT, protection=GROUPED)

    def add_intervals(self, what: str, about: str, fewest: int) -> None:
        """Add the intervals of scores.

        Args:
            what: Scores that they are of.
            about: See `DataFlow`.
            fewest: Fewest patients behind an interval.
        """
        self.add(
            "intervals",
            f"95 % intervals of {what}, rounded outwards",
            about,
            f"{patients(fewest)}; with fewer none is sent",
            users=RESULT,
            protection=GROUPED,
        )

    def add_cells(self, about: str, minimum: str) -> None:
        """Add the counts of cases that some tasks have in their scores.

        Args:
            about: See `DataFlow`.
            minimum: See `DataFlow`.
        """
        self.add(
            "counts",
            "Counts of cases in scores, such as a confusion matrix; a single cell may be of one patient",
            about,
            minimum,
            users=RESULT,
            protection="minimum of all cells together; no noise",
        )

    def hold_back(self, what: str, why: str) -> None:
        """Add something that the job asks for and this hospital doesn't send."""
        self._held.append(NotSent(what=what, why=why))

    def done(self) -> tuple[tuple[DataFlow, ...], tuple[NotSent, ...]]:
        """Return both lists."""
        return tuple(self._sent), tuple(self._held)
