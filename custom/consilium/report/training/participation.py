"""Participation of hospitals in the rounds of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from consilium.errors import RefusalCode
from consilium.report.training.study import SiteInRound, StudyReport

RoundPart = Literal["trained", "evaluated", "rejected", "missed"]
"""What a hospital did in a round; `rejected`: the server did not accept what it sent."""

_REJECTED: Final = frozenset(
    {RefusalCode.UPDATE, RefusalCode.REPEATED_UPDATE, RefusalCode.ANSWER, RefusalCode.SCORES}
)


@dataclass(frozen=True)
class Participation:
    """One hospital's part in each round, in order."""

    site: str
    parts: tuple[RoundPart, ...]

    @property
    def trained(self) -> int:
        """Rounds whose update was accepted."""
        return self.parts.count("trained")

    @property
    def rejected(self) -> int:
        """Rounds whose answer the server rejected."""
        return self.parts.count("rejected")

    @property
    def missed(self) -> int:
        """Rounds in which it declined, did not answer, was excluded or not connected."""
        return self.parts.count("missed")


def list_participation(report: StudyReport) -> list[Participation]:
    """Return every hospital's part in every round."""
    return [
        Participation(site, tuple(_part(one.sites.get(site)) for one in report.rounds))
        for site in report.sites
    ]


def _part(one: SiteInRound | None) -> RoundPart:
    if one is None:
        return "missed"
    if one.outcome in ("trained", "evaluated"):
        return "trained" if one.outcome == "trained" else "evaluated"
    if one.outcome in ("ready", "answered"):  # of a run that has not ended
        return "evaluated"
    return "rejected" if one.code in _REJECTED else "missed"
