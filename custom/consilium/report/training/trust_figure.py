"""Figure of what the numbers are of: each hospital's cases and its part in the rounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from consilium.counts import counted, total_text
from consilium.report.training.participation import Participation, RoundPart, list_participation
from consilium.report.training.study import SiteSummary, StudyReport

NOTHING: Final = "\N{EN DASH}"
"""In place of a number of a hospital that was never ready."""
_PARTS: Final = ("training", "validation", "scored", "left-out")
"""What the parts of a bar are of, in their order."""

_MOST_ROUNDS: Final = 40
"""Rounds that have a mark each; of more there are only counts."""


@dataclass(frozen=True)
class TrustRow:
    """One hospital.

    Attributes:
        site: Its name.
        training: Cases that it trained on.
        validation: Cases that chose the best round, in words; a dash where scores are of these.
        evaluated: Cases that it is scored on, in words.
        has_scores: Whether the final model has a score there.
        left_out: Its cases that were left out, in words.
        counts: Cases as far as they are known: for training, for validation, scored and left out.
        bar: The parts of its bar that are not empty: what they are of, where each starts and how wide it is,
            in percent of the width of the largest hospital.
        rounds: Its part in each round; empty where there are too many.
        took_part: The rounds it took part in, of how many.
        remarks: What is particular to it, in words.
        has_flaw: Whether something of it is missing.
    """

    site: str
    training: int | None
    validation: str
    evaluated: str
    has_scores: bool
    left_out: str
    counts: tuple[int, int, int, int]
    bar: tuple[tuple[str, float, float], ...]
    rounds: tuple[RoundPart, ...]
    took_part: tuple[int, int]
    remarks: tuple[str, ...]
    has_flaw: bool


def arrange_trust(report: StudyReport) -> tuple[TrustRow, ...]:
    """Arrange the rows, in the order of the report's tables."""
    parts = list_participation(report)
    largest = max((sum(_counts(report, site)) for site in report.sites), default=0)
    return tuple(_row(report, one, max(1, largest)) for one in parts)


def has_validation(report: StudyReport) -> bool:
    """Return whether validation cases are others than those that scores are of."""
    return report.evaluated_on != "validation"


def _row(report: StudyReport, part: Participation, largest: int) -> TrustRow:
    one = report.sites[part.site]
    counts = _counts(report, part.site)
    rounds = len(part.parts)
    return TrustRow(
        site=part.site,
        training=one.train_cases,
        validation=_validation(report, one),
        evaluated=_evaluated(one),
        has_scores=bool(one.global_),
        left_out=total_text(one.left_out) if one.left_out else NOTHING if one.role is None else "0",
        counts=counts,
        bar=tuple(_bar(counts, largest)),
        rounds=part.parts if rounds <= _MOST_ROUNDS else (),
        took_part=(rounds - part.missed - part.rejected, rounds),
        remarks=tuple(_remarks(report, part)),
        has_flaw=bool(part.rejected or part.missed or not one.global_),
    )


def _validation(report: StudyReport, one: SiteSummary) -> str:
    if one.role is None or not has_validation(report):
        return NOTHING
    return "withheld" if one.validation_cases is None else str(one.validation_cases)


def _evaluated(one: SiteSummary) -> str:
    if one.role is None:
        return NOTHING
    return "withheld" if one.scored_cases is None else str(one.scored_cases)


def _counts(report: StudyReport, site: str) -> tuple[int, int, int, int]:
    """Cases of a hospital as far as they are known."""
    one = report.sites[site]
    left_out = sum(count for count in one.left_out.values() if count is not None)
    validation = (one.validation_cases or 0) if has_validation(report) else 0
    return one.train_cases or 0, validation, one.scored_cases or 0, left_out


def _bar(counts: Sequence[int], largest: int) -> Iterator[tuple[str, float, float]]:
    start = 0
    for part, count in zip(_PARTS, counts, strict=True):
        if count:
            yield part, round(100 * start / largest, 2), round(100 * count / largest, 2)
        start += count


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
