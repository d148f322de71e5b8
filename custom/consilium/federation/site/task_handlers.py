"""Handlers of a site's tasks, between FLARE's objects and `consilium.participant`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.errors import RefusalCode, SiteRefusal
from consilium.federation.message_names import (
    CHECK,
    LOCAL_ONLY,
    PREPARE,
    REPORT_META,
    TEST,
    TRAIN,
    VALIDATE,
)
from consilium.federation.site.algorithm_dialogue import AlgorithmDialogue
from consilium.federation.site.final_scores import score_final_model
from consilium.federation.site.job_part import JobPart
from consilium.federation.site.local_only import compare_with_local_only
from consilium.federation.site.personal_model import use_personal_model
from consilium.federation.site.replies import (
    hide_summed,
    read_request,
    read_sets,
    report_on,
    to_reply,
)
from consilium.federation.site.validation import validate_model
from consilium.learning.rounds import TrainingResult
from consilium.learning.schedule import Schedule
from consilium.learning.weights import MODEL, Weights
from consilium.records.bounds import MOST_STEPS
from consilium.records.federation import SiteReport
from consilium.records.gain import measure_gain, patient_gains
from consilium.tasks.learning_settings import LearningSettings

if TYPE_CHECKING:
    from consilium.participant.participant import Participant

Handler: TypeAlias = Callable[[Shareable, FLContext, Signal], Shareable]


class TaskHandlers:
    """Executes a job's tasks on this site's cases; the data is prepared when first needed.

    Args:
        part: What the tasks share.
    """

    def __init__(self, part: JobPart) -> None:
        self._part = part
        self._algorithm = part.algorithm
        self._dialogue = AlgorithmDialogue(part.algorithm)
        self._component = part.component
        self._state = part.state
        self._journal = part.journal

    @property
    def _settings(self) -> LearningSettings:
        return self._part.learning

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
                task, shareable, self._part.place(fl_ctx, shareable)
            )
        return handlers.get(task)

    def close(self) -> None:
        """Free data and processes."""
        self._part.close()

    def _check(self, shareable: Shareable, fl_ctx: FLContext, abort: Signal) -> Shareable:
        # What reads images is loaded where they are: the process that checks a job has no use for it.
        from consilium.federation.site.assessment import check_readiness

        request = read_request(shareable)
        site = self._part.settings(fl_ctx)
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
            on_problems=lambda problems: self._part.log_problems(problems, fl_ctx),
        )
        meta = {REPORT_META: readiness.model_dump(mode="json")}
        return FLModelUtils.to_shareable(FLModel(metrics={}, current_round=request.current_round, meta=meta))

    def _prepare(self, shareable: Shareable, fl_ctx: FLContext, abort: Signal) -> Shareable:
        started = time.monotonic()
        request = read_request(shareable)
        participant = self._part.participant(request, fl_ctx, abort)
        return to_reply(None, {}, self._report(participant, None, started), request)

    def _train(self, shareable: Shareable, fl_ctx: FLContext, abort: Signal) -> Shareable:
        started = time.monotonic()
        model = read_request(shareable)
        participant = self._part.participant(model, fl_ctx, abort)
        self._part.evaluations(fl_ctx).require_none()
        place = self._part.place(fl_ctx, shareable)
        trains = participant.data.role == "trains" and self._dialogue.trains_now(model, place)
        sets = read_sets(model, self._algorithm)
        weights = sets.pop(MODEL)
        scores = validate_model(participant, weights, model, self._settings, self._state, fl_ctx, abort)
        result: TrainingResult | None = None
        if trains:
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
            cases = len(participant.data.train)
            update = self._dialogue.update(
                result, weights, model, place, cases, self._settings, scores, participant.protect
            )
        return to_reply(update, {} if self._algorithm.sums_reports else scores, report, model)

    def _report(self, participant: Participant, result: TrainingResult | None, started: float) -> SiteReport:
        return self._hide(report_on(participant, result, time.monotonic() - started))

    def _hide(self, report: SiteReport) -> SiteReport:
        return hide_summed(report, self._settings) if self._algorithm.sums_reports else report

    def _validate(self, shareable: Shareable, fl_ctx: FLContext, abort: Signal) -> Shareable:
        started = time.monotonic()
        model = read_request(shareable)
        participant = self._part.participant(model, fl_ctx, abort)
        weights = read_sets(model, self._algorithm)[MODEL]
        scores = validate_model(participant, weights, model, self._settings, self._state, fl_ctx, abort)
        report, summed = self._report(participant, None, started), None
        if self._algorithm.sums_reports and participant.data.role == "trains":
            place, cases = self._part.place(fl_ctx, shareable), len(participant.data.train)
            summed = self._dialogue.scores(weights, model, place, cases, self._settings, scores)
        return to_reply(summed, {} if self._algorithm.sums_reports else scores, report, model)

    def _test(self, shareable: Shareable, fl_ctx: FLContext, abort: Signal) -> Shareable:
        started = time.monotonic()
        model = read_request(shareable)
        participant = self._part.participant(model, fl_ctx, abort)
        weights = read_sets(model, self._algorithm)[MODEL]
        earlier = self._part.evaluations(fl_ctx).admit_trained(weights) if participant.data.test else 0
        final = score_final_model(
            participant,
            use_personal_model(participant, weights, model, self._settings, fl_ctx, abort),
            participant.evaluation,
            min_count=self._part.settings(fl_ctx).min_count,
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
        participant = self._part.participant(model, fl_ctx, abort)
        if participant.hospital_noise is not None:
            raise SiteRefusal(
                "a model that is trained alone has no noise, and noise hides this hospital as a whole",
                code=RefusalCode.PRIVACY_DEMAND,
            )
        site = self._part.settings(fl_ctx)
        weights = read_sets(model, self._algorithm)[MODEL]
        if participant.data.test:
            self._part.evaluations(fl_ctx).admit_trained(weights)
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
        evaluation = participant.evaluation
        gain = measure_gain(pairs, evaluation, min_count=site.min_count)
        self._journal.note_gain(
            gain, patient_gains(pairs, evaluation), evaluation.metrics, participant.memory
        )
        report = report_on(participant, None, time.monotonic() - started)
        report.steps, report.gain = min(steps, MOST_STEPS), gain
        report = self._hide(report)
        return to_reply(None, {}, report, model)
