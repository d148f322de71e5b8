"""Whether a federation did what it was asked: success, partial, failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from consilium.report.records import FederationRecord, SiteRound

_TOOK_PART = ("ready", "trained", "evaluated")


@dataclass(frozen=True)
class Outcome:
    """How a federation ended.

    Attributes:
        kind: `success`: all sites in all rounds; `partial`: a final model, but a site was missing somewhere;
            `failure`: no judged final model.
        reasons: One line for each thing that went wrong.
    """

    kind: Literal["success", "partial", "failure"]
    reasons: tuple[str, ...]


def judge_outcome(federation: FederationRecord) -> Outcome:
    """Return how a federation ended, from its record."""
    reasons = [
        *_absences("preparation", federation.preparation),
        *(line for one in federation.rounds for line in _absences(f"round {one.number}", one.sites)),
        *_absences("final validation", federation.final_sites),
    ]
    if federation.status != "finished" or not federation.final_scores:
        ended = federation.reason or f"the record ends with status {federation.status}"
        return Outcome("failure", (ended, *reasons))
    return Outcome("partial" if reasons else "success", tuple(reasons))


def _absences(task: str, sites: dict[str, SiteRound]) -> list[str]:
    return [
        f"{task}: {site} is not part of it: {answer.reason or answer.outcome}"
        for site, answer in sorted(sites.items())
        if answer.outcome not in _TOOK_PART
    ]
