"""A site's evaluation of models from elsewhere: means, intervals and counts of patients, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.errors import RefusalCode, SiteRefusal, TrainingError
from consilium.federation.message_names import REPORT_META
from consilium.federation.site.local_settings import read_site_settings
from consilium.federation.site.replies import read_request
from consilium.federation.site.state import StateReporter
from consilium.federation.versions import component_versions
from consilium.records.evaluation import GroupAnswer, MeasureAnswer, SiteEvaluation
from consilium.records.gain import measure_gain
from consilium.records.score_intervals import allows_interval, round_outwards
from consilium.tasks import LearningSettings, Task, get_task, parse_learning
from consilium.tasks.evaluation import Evaluation
from consilium.tasks.measures import derived_measures
from consilium.tasks.metrics import Scores

if TYPE_CHECKING:
    from consilium.data.cached_case import CachedCase
    from consilium.learning.weights import Weights
    from consilium.participant.evaluation_data import EvaluationData

_DIGITS = 6
"""Of a mean that leaves; its last bits say nothing about a model."""


class SiteEvaluator:
    """Evaluates received models on this site's cases; they are prepared when the first one comes.

    Args:
        learning: The fields of `LearningSettings`.
        min_patients: Fewest patients that the job wants behind an answer.
        component: Writes the site's log.
        state: Reports what the site is doing.
    """

    def __init__(
        self, learning: Mapping[str, Any], min_patients: int, component: FLComponent, state: StateReporter
    ) -> None:
        self._learning = learning
        self._min_patients = min_patients
        self._component = component
        self._state = state
        self._data: EvaluationData | None = None
        self._local: list[Scores] = []
        """What each case was measured at with the site's own model; empty as long as that is not known."""

    def evaluate(self, shareable: Shareable, fl_ctx: FLContext, abort: Signal) -> Shareable:
        """Answer about one model.

        Raises:
            SiteRefusal: If this site can't or may not.
        """
        from consilium.participant.local_only import PairedScores  # loads torch, which only a run needs

        started = time.monotonic()
        request = read_request(shareable)
        task, data = self._task, self._prepare(fl_ctx, abort)
        rows, answer = self._measure(request.params or {}, data, fl_ctx, abort)
        if self._local:
            pairs = [
                PairedScores(case.id, case.patient, local, row)
                for case, local, row in zip(data.cases, self._local, rows, strict=True)
            ]
            fewest = data.minimum if data.counted else len(pairs)  # no interval, as of the means
            gain = measure_gain(pairs, task.evaluation, min_count=fewest)
            answer.gains = {} if gain is None else gain.gains
        return _reply(answer, request, started)

    def evaluate_local(self, shareable: Shareable, fl_ctx: FLContext, abort: Signal) -> Shareable:
        """Answer about the site's own model.

        Raises:
            SiteRefusal: If it has none, or this site can't or may not answer.
        """
        from consilium.federation.site.local_only_model import open_local_only_model

        started = time.monotonic()
        request = read_request(shareable)
        data = self._prepare(fl_ctx, abort)
        site = read_site_settings(fl_ctx, self._settings.task)
        weights = open_local_only_model(site, self._settings, data.split)
        self._local, answer = self._measure(weights, data, fl_ctx, abort)
        return _reply(answer, request, started)

    @cached_property
    def _settings(self) -> LearningSettings:
        return parse_learning(self._learning, source="the job's learning settings")

    @property
    def _task(self) -> Task:
        return get_task(self._settings.task)

    def _measure(
        self, weights: Weights, data: EvaluationData, fl_ctx: FLContext, abort: Signal
    ) -> tuple[list[Scores], SiteEvaluation]:
        """Measure a model on every case; returns what each was measured at, and what leaves of it."""
        from consilium.data.cached_case import UnreadableCase
        from consilium.learning.device import open_device
        from consilium.learning.evaluator import measure_cases
        from consilium.participant.evaluation_log import EvaluationLog

        task, site = self._task, read_site_settings(fl_ctx, self._settings.task)
        earlier = EvaluationLog(site, str(fl_ctx.get_job_id())).admit_received(weights, data.set)
        try:
            rows = measure_cases(
                task,
                self._settings,
                weights,
                data.cases,
                open_device(site),
                cancelled=lambda: abort.triggered,
                on_case=lambda done, total: self._state.report(fl_ctx, "evaluating", done, total),
            )
        except TrainingError as error:
            self._component.log_error(fl_ctx, f"the model can't be evaluated: {error}", fire_event=False)
            raise SiteRefusal(
                "the model does not fit the network that the job names", code=RefusalCode.DECLINED
            ) from None
        except UnreadableCase as error:
            self._component.log_error(fl_ctx, f"{error}", fire_event=False)
            raise SiteRefusal(
                "a preprocessed case could no longer be read; it is made again with the next job",
                code=RefusalCode.LOST_CASES,
            ) from None
        answer = summarize_site(task.evaluation, data, rows)
        answer.earlier_models = earlier
        return rows, answer

    def _prepare(self, fl_ctx: FLContext, abort: Signal) -> EvaluationData:
        if self._data is None:
            from consilium.participant.evaluation_data import prepare_evaluation

            site = read_site_settings(fl_ctx, self._settings.task)
            self._data = prepare_evaluation(
                site,
                self._settings,
                job_minimum=self._min_patients,
                progress=lambda done, total, what: self._state.report_cases(
                    fl_ctx, f"preparing: {what}", done, total, minimum=site.min_count
                ),
                cancelled=lambda: abort.triggered,
            )
            for problem in self._data.problems:
                # The site's own log: the only place that names a patient.
                self._component.log_warning(fl_ctx, problem.describe(), fire_event=False)
        return self._data


def _reply(answer: SiteEvaluation, request: FLModel, started: float) -> Shareable:
    answer.seconds = time.monotonic() - started
    meta = {REPORT_META: answer.model_dump(mode="json")}
    return FLModelUtils.to_shareable(FLModel(metrics={}, current_round=request.current_round, meta=meta))


def summarize_site(
    evaluation: Evaluation, data: EvaluationData, rows: Sequence[Mapping[str, float]]
) -> SiteEvaluation:
    """Return what a site answers about a model.

    Args:
        evaluation: The task's.
        data: The site's cases.
        rows: What each of them was measured at.
    """
    of_case = {case.id: (case, row) for case, row in zip(data.cases, rows, strict=True)}

    def summarize(ids: Sequence[str], *, subgroup: bool = True) -> GroupAnswer:
        cases, measured = zip(*(of_case[one] for one in ids), strict=True)
        return summarize_group(
            evaluation, cases, measured, data.minimum, counted=data.counted, subgroup=subgroup
        )

    return SiteEvaluation(
        min_count=data.minimum,
        set=data.set,
        whole=summarize(list(of_case), subgroup=False),
        subgroups={
            attribute: {
                value: summarize([one for one in of_case if one in ids]) for value, ids in values.items()
            }
            for attribute, values in data.subgroups.items()
        },
        withheld={name: count for name, count in data.withheld.items() if count},
        note=data.note,
        left_out=dict(data.left_out),
        versions=component_versions(),
    )


def summarize_group(
    evaluation: Evaluation,
    cases: Sequence[CachedCase],
    rows: Sequence[Mapping[str, float]],
    minimum: int,
    *,
    counted: bool = True,
    subgroup: bool = False,
) -> GroupAnswer:
    """Return what leaves about some cases.

    An interval leaves under the rule of all intervals, see `allows_interval`. A subgroup's histogram stays:
    less from the whole site's, it would leave counts of few patients for the others.

    Args:
        evaluation: The task's.
        cases: The cases.
        rows: What each of them was measured at.
        minimum: Fewest patients.
        counted: Whether counts of patients and intervals may leave beside means.
        subgroup: Whether the cases are a part of those that another answer is about.

    Raises:
        SiteRefusal: They are of fewer patients than the minimum.
    """
    from consilium.learning.evaluation_summary import count_cases, derive_measures
    from consilium.learning.patient_summary import summarize_patients

    patients = [case.patient for case in cases]
    if len(set(patients)) < minimum:
        raise SiteRefusal("its answer would be of too few patients", code=RefusalCode.FEW_PATIENTS)
    bins = evaluation.bins
    shown = {one.name: one.digits for one in (*evaluation.measures, *derived_measures(evaluation.metrics))}
    with_interval = counted and allows_interval(len(set(patients)), minimum)

    def leaving(
        name: str, interval: tuple[float, float] | None, limits: tuple[float, float]
    ) -> tuple[float, float] | None:
        return round_outwards(interval, shown[name], limits) if interval and with_interval else None

    limited = [
        {name: min(max(row[name], one.edges[0]), one.edges[-1]) for name, one in bins.items()} for row in rows
    ]
    measures = {
        name: MeasureAnswer(
            mean=round(one.mean, _DIGITS),
            interval=leaving(name, one.interval, (bins[name].edges[0], bins[name].edges[-1])),
            edges=list(one.histogram.edges) if counted and not subgroup else [],
            counts=list(one.histogram.counts) if counted and not subgroup else [],
        )
        for name, one in summarize_patients(limited, patients, bins, minimum=minimum).items()
    }
    derived = {
        name: MeasureAnswer(
            mean=round(one.mean, _DIGITS),
            interval=leaving(
                name, one.interval, (evaluation.metrics[name].low, evaluation.metrics[name].high)
            ),
        )
        for name, one in derive_measures(evaluation, rows, patients).items()
    }
    return GroupAnswer(
        patients=len(set(patients)),
        cases=len(cases),
        measures={**derived, **measures},
        counts=count_cases(evaluation, rows) if counted else {},
    )
