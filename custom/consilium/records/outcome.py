"""Outcome of a job: success, partial or failure, with the reasons."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from consilium.errors import RefusalCode
from consilium.records.evaluation import LOCAL_MODELS, EvaluationRecord
from consilium.records.federation import FederationRecord, OutcomeKind, SiteRound
from consilium.records.job_record import JobRecord
from consilium.records.progress import EndReason
from consilium.records.readiness import ReadinessRecord, explain
from consilium.records.statistics import StatisticsRecord
from consilium.records.turns import list_missed_turns, sites_without_update

_VALIDATION, _FINAL, _BEST = "last validation", "final evaluation", "evaluation of the best model"
_AFTER_ROUNDS = {_VALIDATION: "validate", _FINAL: "test", _BEST: "test"}
"""Stages after the last round, in order, with their task."""
_TOOK_PART = ("ready", "trained", "evaluated")


@dataclass(frozen=True)
class Outcome:
    """Outcome of a job.

    Attributes:
        kind: Of a training job, `success`: all sites in all rounds; `partial`: a final model, but a site was
            missing, rejected or not connected somewhere, a round was dropped, or a site that trains missed
            its turn or has no update in the model; `failure`: no evaluated final model, or all rounds were
            dropped. Of a readiness check, `success`: every site can train, or
            only evaluates as its hospital decided, and one would send scores; `failure`: none can train. Of a
            statistics job, `success`: every site is part of it; `failure`: the job failed. Of an evaluation,
            `success`: every site evaluated every model; `failure`: no site did.
        reasons: What went wrong, each with a code.
    """

    kind: OutcomeKind
    reasons: tuple[EndReason, ...]


def determine_outcome(record: JobRecord) -> Outcome:
    """Return how a job ended, from its record."""
    if isinstance(record, FederationRecord):
        return _training_outcome(record)
    if isinstance(record, ReadinessRecord):
        return _readiness_outcome(record)
    if isinstance(record, EvaluationRecord):
        return _evaluation_outcome(record)
    return _statistics_outcome(record)


def _training_outcome(record: FederationRecord) -> Outcome:
    stages = {f"round {one.number}": one.sites for one in record.rounds}
    after = {_VALIDATION: record.validation_sites, _FINAL: record.final_sites, _BEST: record.best_sites}
    stages |= {stage: sites for stage, sites in after.items() if sites}
    everybody = sorted(set[str]().union(*stages.values()))
    absences = defaultdict[tuple[str, str, RefusalCode | None], list[str]](list)
    for site, answer in sorted(record.preparation.items()):
        if answer.outcome not in _TOOK_PART:
            absences[site, answer.reason or answer.outcome, answer.code].append("preparation")
    for stage, sites in stages.items():
        for site in everybody:
            absence = _absence(sites.get(site))
            if absence is not None:
                absences[(site, *absence)].append(stage)
    reasons = [
        EndReason(
            text=f"{_span(missed)}: {site} is not part of it: {reason}",
            code=code,
            task=_AFTER_ROUNDS.get(missed[-1], "train"),
        )
        for (site, reason, code), missed in absences.items()
    ]
    reasons += _turns_without_effect(record)
    if record.status != "finished":
        ended = record.reason or f"the record ends with status {record.status}"
        return Outcome("failure", (EndReason(text=ended, code=record.code), *reasons))
    dropped = _dropped_rounds(record)
    if not record.final_scores:
        return Outcome("failure", (_without_scores(record), *dropped, *reasons))
    if dropped and len(dropped) == len(record.rounds):
        nothing = EndReason(
            text="no round counts, so the final model is the one that the job started from",
            code=RefusalCode.ROUND_DROPPED,
        )
        return Outcome("failure", (nothing, *dropped, *reasons))
    return Outcome("partial" if dropped or reasons else "success", (*dropped, *reasons))


def _turns_without_effect(record: FederationRecord) -> list[EndReason]:
    """Say whose turns failed, and which sites train and have no part in the final model."""
    missed = [
        EndReason(
            text=f"{_span([f'round {number}' for number in one.rounds])}: {one.site} missed its turn: "
            f"{one.reason}",
            code=one.code,
            task="train",
        )
        for one in list_missed_turns(record)
    ]
    unused = [
        EndReason(
            text=f"no update of {site} is in the final model, although it trains", code=RefusalCode.NO_UPDATE
        )
        for site in sites_without_update(record)
    ]
    return [*missed, *unused]


def _dropped_rounds(record: FederationRecord) -> list[EndReason]:
    """Say of each round without a part in the final model why: no site's work of it counts."""
    return [
        EndReason(text=f"round {one.number} was dropped: {one.rolled_back}", code=RefusalCode.ROUND_DROPPED)
        for one in record.rounds
        if one.rolled_back is not None
    ]


def _without_scores(record: FederationRecord) -> EndReason:
    reports = [one.report for one in record.final_sites.values() if one.report]
    if reports and all(one.test_cases is None for one in reports):
        setting = record.metrics.minimum_setting
        return EndReason(
            text=f"no site sends scores of the model: they would be of fewer patients than its {setting}",
            code=RefusalCode.SCORES_HELD_BACK,
        )
    if reports and not any(one.test_cases for one in reports):
        return EndReason(
            text="no hospital has test patients to report on: each has too few, or a test_fraction of 0",
            code=RefusalCode.SCORES_HELD_BACK,
        )
    return EndReason(text="no hospital sent a score of the final model", code=RefusalCode.NO_SCORES)


def _readiness_outcome(record: ReadinessRecord) -> Outcome:
    if record.reason is not None:
        return Outcome("failure", (EndReason(text=record.reason, code=RefusalCode.JOB_ABORTED),))
    reasons = tuple(
        EndReason(
            text=f"{name} is not ready: {explain(name, record)}",
            code=(record.sites.get(name) or record.missing[name]).code,
            task="check",
        )
        for name in record.not_ready
    )
    if not record.able_to_train:
        nobody = EndReason(text="no site can train", code=RefusalCode.NO_QUORUM)
        return Outcome("failure", (nobody, *reasons))
    if record.scores_nothing:
        sites = ", ".join(record.without_scores)
        settings = " and ".join(
            sorted({str(record.sites[name].score_setting) for name in record.without_scores})
        )
        silent = EndReason(
            text=f"no hospital would send a score of any model: {sites} would withhold them ({settings})",
            code=RefusalCode.SCORES_HELD_BACK,
            task="check",
        )
        reasons = (silent, *reasons)
    return Outcome("partial" if reasons else "success", reasons)


def _statistics_outcome(record: StatisticsRecord) -> Outcome:
    reasons = tuple(
        EndReason(
            text=f"{name} is not part of the statistics: {missing}", code=missing.code, task="statistics"
        )
        for name, missing in sorted(record.missing.items())
    )
    if record.status != "finished":
        ended = record.reason or f"the record ends with status {record.status}"
        return Outcome("failure", (EndReason(text=ended, code=RefusalCode.JOB_FAILED), *reasons))
    return Outcome("partial" if reasons else "success", reasons)


def _evaluation_outcome(record: EvaluationRecord) -> Outcome:
    absences = defaultdict[tuple[str, str, RefusalCode | None], list[str]](list)
    for model, site, missing in record.absences():
        if model == LOCAL_MODELS and missing.code is RefusalCode.LOCAL_MODEL:
            continue  # not every hospital has a model of its own
        absences[site, missing.reason, missing.code].append(model)
    reasons = tuple(
        EndReason(text=f"{site} did not evaluate {', '.join(models)}: {reason}", code=code, task="evaluate")
        for (site, reason, code), models in sorted(absences.items(), key=lambda one: one[0][0])
    )
    if record.status != "finished":
        ended = record.reason or f"the record ends with status {record.status}"
        return Outcome("failure", (EndReason(text=ended, code=record.code), *reasons))
    return Outcome("partial" if reasons else "success", reasons)


def _absence(answer: SiteRound | None) -> tuple[str, RefusalCode | None] | None:
    if answer is None:
        return "it was not connected when the others were asked", RefusalCode.NOT_CONNECTED
    return None if answer.outcome in _TOOK_PART else (answer.reason or answer.outcome, answer.code)


def _span(stages: Sequence[str]) -> str:
    """Name stages in one breath: `preparation, rounds 1 to 6, last validation, final evaluation`."""
    rounds = [int(stage.removeprefix("round ")) for stage in stages if stage.startswith("round ")]
    runs: list[list[int]] = []
    for number in rounds:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    spans = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    named = [f"round{'s' if len(rounds) > 1 else ''} {', '.join(spans)}"] if rounds else []
    before = [stage for stage in stages if stage == "preparation"]
    after = [stage for stage in stages if stage in _AFTER_ROUNDS]
    return ", ".join([*before, *named, *after])
