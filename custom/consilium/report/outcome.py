"""Whether a job did what it was asked: success, partial, failure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from consilium.report.download import JobRecord
from consilium.report.readiness import ReadinessRecord, explain
from consilium.report.records import FederationRecord, SiteRound
from consilium.report.statistics.record import StatisticsRecord

OutcomeKind = Literal["success", "partial", "failure"]

_TOOK_PART = ("ready", "trained", "evaluated")


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        kind: Of a training job, `success`: all sites in all rounds; `partial`: a final model, but a site was
            missing, refused or not connected somewhere; `failure`: no judged final model. Of a readiness
            check, `success`: every site can train, or only evaluates as its hospital decided; `failure`: none
            can train. Of a statistics job, `success`: every site is part of it; `failure`: the job failed.
        reasons: One line for each thing that went wrong.
    """

    kind: OutcomeKind
    reasons: tuple[str, ...]


def judge_outcome(record: JobRecord) -> Outcome:
    """Return how a job ended, from its record."""
    if isinstance(record, FederationRecord):
        return _judge_training(record)
    if isinstance(record, ReadinessRecord):
        return _judge_readiness(record)
    return _judge_statistics(record)


def _judge_training(record: FederationRecord) -> Outcome:
    stages = {f"round {one.number}": one.sites for one in record.rounds}
    if record.final_sites:
        stages["final validation"] = record.final_sites
    everybody = sorted(set[str]().union(*stages.values()))
    reasons = [
        *_absences("preparation", record.preparation, sorted(record.preparation)),
        *(line for stage, sites in stages.items() for line in _absences(stage, sites, everybody)),
    ]
    if record.status != "finished" or not record.final_scores:
        ended = record.reason or f"the record ends with status {record.status}"
        return Outcome("failure", (ended, *reasons))
    return Outcome("partial" if reasons else "success", tuple(reasons))


def _judge_readiness(record: ReadinessRecord) -> Outcome:
    reasons = tuple(f"{name} is not ready: {explain(name, record)}" for name in record.not_ready)
    if not record.able_to_train:
        return Outcome("failure", ("no site can train", *reasons))
    return Outcome("partial" if reasons else "success", reasons)


def _judge_statistics(record: StatisticsRecord) -> Outcome:
    reasons = tuple(
        f"{name} is not part of the statistics: {reason}" for name, reason in sorted(record.missing.items())
    )
    if record.status != "finished":
        ended = record.reason or f"the record ends with status {record.status}"
        return Outcome("failure", (ended, *reasons))
    return Outcome("partial" if reasons else "success", reasons)


def _absences(stage: str, sites: Mapping[str, SiteRound], everybody: Sequence[str]) -> Iterator[str]:
    for site in everybody:
        answer = sites.get(site)
        if answer is None:
            yield f"{stage}: {site} is not part of it: it was not connected when the others were asked"
        elif answer.outcome not in _TOOK_PART:
            yield f"{stage}: {site} is not part of it: {answer.reason or answer.outcome}"
