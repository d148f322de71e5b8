"""Handlers of a site's tasks, between FLARE's objects and `consilium.participant`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.data.finding import Finding
from consilium.default_task import DEFAULT
from consilium.errors import RefusalCode, SiteRefusal
from consilium.federation.message_names import (
    CHECK,
    LOCAL_ONLY,
    PREPARE,
    REPORT_META,
    RUN_META,
    TEST,
    TRAIN,
    VALIDATE,
)
from consilium.federation.site.algorithm_dialogue import AlgorithmDialogue, site_place
from consilium.federation.site.final_scores import score_final_model
from consilium.federation.site.journal import SiteJournal
from consilium.federation.site.local_only import compare_with_local_only
from consilium.federation.site.local_settings import read_site_settings
from consilium.federation.site.personal_model import use_personal_model
from consilium.federation.site.replies import (
    hide_summed,
    read_request,
    read_sets,
    report_on,
    to_reply,
)
from consilium.federation.site.state import StateReporter
from consilium.federation.site.validation import validate_model
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.algorithms.dialogue import SitePlace
from consilium.learning.rounds import TrainingResult
from consilium.learning.schedule import Schedule
from consilium.learning.weights import MODEL, Weights
from consilium.participant.evaluation_log import EvaluationLog
from consilium.records.bounds import MOST_STEPS
from consilium.records.federation import SiteReport
from consilium.records.gain import measure_gain, patient_gains
from consilium.tasks import get_task, parse_learning
from consilium.tasks.learning_settings import LearningSettings
from consilium.tasks.registry import is_built_in

if TYPE_CHECKING:
    from consilium.participant.participant import Participant

Handler: TypeAlias = Callable[[Shareable, FLContext, Signal], Shareable]


class TaskHandlers:
    """Executes a job's tasks on this site's cases; the data is prepared when first needed.

    Args:
        learning: The fields of `LearningSettings`.
        algorithm: What it decides about its algorithm.
        component: Writes the site's log.
        state: Reports what the site is doing.
        journal: What the site keeps for itself.
        min_sites: Fewest sites whose updates make a round.
    """

    def __init__(
        self,
        learning: Mapping[str, Any],
        algorithm: AlgorithmSettings,
        component: FLComponent,
        state: StateReporter,
        journal: SiteJournal,
        min_sites: int,
    ) -> None:
        self._min_sites = min_sites
        self._learning = learning
        self._task = str(learning.get("task", DEFAULT))
        if is_built_in(self._task):
            self._settings  # noqa: B018 - what can't be used is said at once
        self._algorithm = algorithm
        self._dialogue = AlgorithmDialogue(algorithm)
        self._component = component
        self._state = state
        self._journal = journal
        self._participant: Participant | None = None
        self._run: str | None = None
        """Id of the training as the server named it when the cases were prepared: samples are drawn by it."""

    @cached_property
    def _settings(self) -> LearningSettings:
        """What the job decides. Reading it imports the task, which the site's policy has to list before."""
        return parse_learning(self._learning, source="the job's learning settings")

    def find(self, task: str) -> Handler | None:
        """Return the handler of a task; None if the job doesn't have it."""
        handlers: Mapping[str, Handler] = {
            CHECK: self._check,
            PREPARE: self._prepare,
            TRAIN: self._train,
            VALIDATE: self._validate,
            TEST: self._test,
            LOCAL_ONLY: self._local_only,
        }
        if task in self._algorithm.declaration.questions:
            return lambda shareable, fl_ctx, abort: self._dialogue.answer(
                task, shareable, self._place(fl_ctx, shareable)
            )
        return handlers.get(task)

    def close(self) -> None:
        """Free data and processes."""
        if self._participant is not None:
            self._participant.close()
        self._participant = None

    def _check(self, shareable: Shareable, fl_ctx: FLContext, abort: Signal) -> Shareable:
        # What reads images is loaded where they are: the process that checks a job has no use for it.
        from consilium.federation.site.assessment import check_readiness

        request = read_request(shareable)
        site = read_site_settings(fl_ctx, self._task)
        readiness = check_readiness(
            site,
            self._settings,
            progress=lambda done, total, what: self._state.report_cases(
                fl_ctx, what, done, total, minimum=site.min_count
            ),
            cancelled=lambda: abort.triggered,
            on_refusal=lambda error: self._component.log_error(
                fl_ctx, f"this site can't take part: {error}", fire_event=False
            ),
            on_problems=lambda problems: self._log_problems(problems, fl_ctx),
        )
        meta = {REPORT_META: readiness.model_dump(mode="json")}
        return FLModelUtils.to_shareable(FLModel(metrics={}, current_round=request.current_round, meta=meta))

    def _prepare(self, shareable: Shareable, fl_ctx: FLContext, abort: Signal) -> Shareable:
        started = time.monotonic()
        request = read_request(shareable)
        participant = self._get_participant(request, fl_ctx, abort)
        return to_reply(None, {}, self._report(participant, None, started), request)

    def _train(self, shareable: Shareable, fl_ctx: FLContext, abort: Signal) -> Shareable:
        started = time.monotonic()
        model = read_request(shareable)
        participant = self._get_participant(model, fl_ctx, abort)
        self._evaluations(fl_ctx).require_none()
        sets = read_sets(model, self._algorithm)
        weights = sets.pop(MODEL)
        scores = validate_model(participant, weights, model, self._settings, self._state, fl_ctx, abort)
        result: TrainingResult | None = None
        if participant.data.role == "trains":
            schedule = Schedule(model.current_round, model.total_rounds)
            result = participant.train(
                weights,
                schedule,
                sets=sets,
                cancelled=lambda: abort.triggered,
                on_step=lambda step, steps, loss: self._state.report(
                    fl_ctx,
                    "training",
                    step,
                    steps,
                    loss=None if self._algorithm.sums_reports else loss,
                    of_cases=self._settings.local_steps is None,
                ),
            )
            self._journal.note_training()
        report = self._report(participant, result, started)
        update: Weights | None = None
        if result is not None:
            place, cases = self._place(fl_ctx, shareable), len(participant.data.train)
            update = self._dialogue.update(
                result, weights, model, place, cases, self._settings, scores, participant.protect
            )
        return to_reply(update, {} if self._algorithm.sums_reports else scores, report, model)

    def _report(self, participant: Participant, result: TrainingResult | None, started: float) -> SiteReport:
        return self._hide(report_on(participant, result, time.monotonic() - started))

    def _hide(self, report: SiteReport) -> SiteReport:
        return hide_summed(report, self._settings) if self._algorithm.sums_reports else report

    def _place(self, fl_ctx: FLContext, shareable: Shareable) -> SitePlace:
        site = read_site_settings(fl_ctx, self._task)
        role = site.role if self._participant is None else self._participant.data.role
        place = site_place(fl_ctx, site, shareable, role)
        if self._run not in (None, place.run):
            raise SiteRefusal("the server names another training than at the beginning of this job")
        return place

    def _validate(self, shareable: Shareable, fl_ctx: FLContext, abort: Signal) -> Shareable:
        started = time.monotonic()
        model = read_request(shareable)
        participant = self._get_participant(model, fl_ctx, abort)
        weights = read_sets(model, self._algorithm)[MODEL]
        scores = validate_model(participant, weights, model, self._settings, self._state, fl_ctx, abort)
        report, summed = self._report(participant, None, started), None
        if self._algorithm.sums_reports and participant.data.role == "trains":
            place, cases = self._place(fl_ctx, shareable), len(participant.data.train)
            summed = self._dialogue.scores(weights, model, place, cases, self._settings, scores)
        return to_reply(summed, {} if self._algorithm.sums_reports else scores, report, model)

    def _test(self, shareable: Shareable, fl_ctx: FLContext, abort: Signal) -> Shareable:
        started = time.monotonic()
        model = read_request(shareable)
        participant = self._get_participant(model, fl_ctx, abort)
        weights = read_sets(model, self._algorithm)[MODEL]
        earlier = self._evaluations(fl_ctx).admit_trained(weights) if participant.data.test else 0
        final = score_final_model(
            participant,
            use_personal_model(participant, weights, model, self._settings, fl_ctx, abort),
            get_task(self._settings.task).evaluation,
            min_count=read_site_settings(fl_ctx, self._task).min_count,
            cancelled=lambda: abort.triggered,
            on_case=lambda done, total: self._state.report(fl_ctx, "evaluating", done, total),
        )
        report = self._report(participant, None, started)
        report.earlier_models, report.intervals = earlier, dict(final.intervals)
        return to_reply(None, final.scores, report, model)

    def _local_only(self, shareable: Shareable, fl_ctx: FLContext, abort: Signal) -> Shareable:
        if self._algorithm.promise().epsilon is not None:
            raise SiteRefusal(
                "a model that is trained alone has no noise, and this job promises an epsilon",
                code=RefusalCode.PRIVACY_DEMAND,
            )
        started = time.monotonic()
        model = read_request(shareable)
        participant = self._get_participant(model, fl_ctx, abort)
        if participant.hospital_noise is not None:
            raise SiteRefusal(
                "a model that is trained alone has no noise, and noise hides this hospital as a whole",
                code=RefusalCode.PRIVACY_DEMAND,
            )
        site = read_site_settings(fl_ctx, self._task)
        weights = read_sets(model, self._algorithm)[MODEL]
        if participant.data.test:
            self._evaluations(fl_ctx).admit_trained(weights)
        steps = model.total_rounds * self._settings.steps_per_round(len(participant.data.train))
        pairs = compare_with_local_only(
            participant,
            self._settings,
            site,
            use_personal_model(participant, weights, model, self._settings, fl_ctx, abort),
            model.total_rounds,
            memory=participant.memory,
            state=self._state,
            fl_ctx=fl_ctx,
            abort=abort,
        )
        evaluation = get_task(self._settings.task).evaluation
        gain = measure_gain(pairs, evaluation, min_count=site.min_count)
        self._journal.note_gain(
            gain, patient_gains(pairs, evaluation), evaluation.metrics, participant.memory
        )
        report = report_on(participant, None, time.monotonic() - started)
        report.steps, report.gain = min(steps, MOST_STEPS), gain
        report = self._hide(report)
        return to_reply(None, {}, report, model)

    def _get_participant(self, request: FLModel, fl_ctx: FLContext, abort: Signal) -> Participant:
        """Prepare the site's data at the first task of the job; every later one finds it ready."""
        if self._participant is None:
            from consilium.federation.site.start_participant import start_participant

            site = read_site_settings(fl_ctx, self._task)
            run = request.meta.get(RUN_META)
            self._run = str(run)
            self._participant = start_participant(
                site,
                self._settings,
                self._algorithm,
                job=str(fl_ctx.get_job_id()),
                run=run,
                rounds=request.total_rounds or 1,
                min_sites=self._min_sites,
                name=str(fl_ctx.get_identity_name()),
                local=Path(fl_ctx.get_engine().get_workspace().get_site_config_dir()),
                progress=lambda done, total, what: self._state.report_cases(
                    fl_ctx, f"preparing: {what}", done, total, minimum=site.min_count
                ),
                cancelled=lambda: abort.triggered,
            )
            data = self._participant.data
            self._log_problems(data.problems, fl_ctx)
            self._component.log_info(fl_ctx, data.summary)
            self._journal.note_cases(data, site)
        return self._participant

    def _log_problems(self, problems: Sequence[Finding], fl_ctx: FLContext) -> None:
        for problem in problems:  # the site's own log: the only place that names a patient
            self._component.log_warning(fl_ctx, problem.describe(), fire_event=False)

    def _evaluations(self, fl_ctx: FLContext) -> EvaluationLog:
        return EvaluationLog(read_site_settings(fl_ctx, self._task), str(fl_ctx.get_job_id()))
