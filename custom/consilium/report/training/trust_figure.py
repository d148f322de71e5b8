"""Figure of what the numbers are of: each hospital's cases and its part in the rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from consilium.counts import counted, total_text
from consilium.report.training.participation import Participation, RoundPart, list_participation
from consilium.report.training.study import SiteSummary, StudyReport

_NOTHING: Final = "\N{EN DASH}"
_MOST_ROUNDS: Final = 40
"""Rounds that have a mark each; of more there are only counts."""


@dataclass(frozen=True)
class TrustRow:
    """One hospital.

    Attributes:
        site: Its name.
        training: Cases that it trained on.
        evaluated: Cases that it is scored on, in words.
        has_scores: Whether the final model has a score there.
        left_out: Its cases that were left out, in words.
        counts: Cases as far as they are known: for training, scored and left out.
        bar: The same, in percent of the width of the largest hospital.
        rounds: Its part in each round; empty where there are too many.
        took_part: The rounds it took part in, of how many.
        remarks: What is particular to it, in words.
        has_flaw: Whether something of it is missing.
    """

    site: str
    training: int | None
    evaluated: str
    has_scores: bool
    left_out: str
    counts: tuple[int, int, int]
    bar: tuple[float, float, float]
    rounds: tuple[RoundPart, ...]
    took_part: tuple[int, int]
    remarks: tuple[str, ...]
    has_flaw: bool


def arrange_trust(report: StudyReport) -> tuple[TrustRow, ...]:
    """Arrange the rows, in the order of the report's tables."""
    parts = list_participation(report)
    largest = max((sum(_counts(report, site)) for site in report.sites), default=0)
    return tuple(_row(report, one, max(1, largest)) for one in parts)


def _row(report: StudyReport, part: Participation, largest: int) -> TrustRow:
    one = report.sites[part.site]
    training, evaluated, left_out = (round(100 * count / largest, 2) for count in _counts(report, part.site))
    rounds = len(part.parts)
    return TrustRow(
        site=part.site,
        training=one.train_cases,
        evaluated=_evaluated(one),
        has_scores=bool(one.global_),
        left_out=total_text(one.left_out) if one.left_out else _NOTHING if one.role is None else "0",
        counts=_counts(report, part.site),
        bar=(training, evaluated, left_out),
        rounds=part.parts if rounds <= _MOST_ROUNDS else (),
        took_part=(rounds - part.missed - part.rejected, rounds),
        remarks=tuple(_remarks(report, part)),
        has_flaw=bool(part.rejected or part.missed or not one.global_),
    )


def _evaluated(one: SiteSummary) -> str:
    if one.role is None:
        return _NOTHING
    return "withheld" if one.scored_cases is None else str(one.scored_cases)


def _counts(report: StudyReport, site: str) -> tuple[int, int, int]:
    """Cases of a hospital as far as they are known."""
    one = report.sites[site]
    left_out = sum(count for count in one.left_out.values() if count is not None)
    return one.train_cases or 0, one.scored_cases or 0, left_out


def _remarks(report: StudyReport, part: Participation) -> list[str]:
    one = report.sites[part.site]
    remarks = []
    if one.role == "evaluates":
        remarks.append("only evaluates")
    if part.rejected:
        remarks.append(f"{counted(part.rejected, 'update')} rejected")
    if part.missed:
        remarks.append(f"{counted(part.missed, 'round')} missed")
    if one.role is not None and one.scored_cases is None:
        remarks.append("scores withheld: too few patients")
    elif not one.global_:
        remarks.append("no score of the final model")
    return remarks
