"""List of data flows while it is made, and the phrases that its entries share."""

from __future__ import annotations

from typing import Final

from consilium.counts import counted
from consilium.report.privacy.statement import DataFlow, NotSent

TLS: Final = "encrypted on the way (TLS)"
MEAN_PROTECTION: Final = "minimum, fixed groups of patients; no noise"
COUNT_PROTECTION: Final = MEAN_PROTECTION
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

    def hold_back(self, what: str, why: str) -> None:
        """Add something that the job asks for and this hospital doesn't send."""
        self._held.append(NotSent(what=what, why=why))

    def done(self) -> tuple[tuple[DataFlow, ...], tuple[NotSent, ...]]:
        """Return both lists."""
        return tuple(self._sent), tuple(self._held)
