"""The site's side of every task: between FLARE's objects and `consilium.learning`."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.counts import counted
from consilium.data.case import CaseProblem
from consilium.errors import Cancelled, ConsiliumError, RefusalCode, SiteRefusal
from consilium.federation.site.journal import SiteJournal
from consilium.federation.site.local_only import compare_with_local_only
from consilium.federation.site.process_resources import can_start_threads
from consilium.federation.site.replies import read_request, refuse, report_on, to_reply
from consilium.federation.site.run_memory import find_memory, memory_of_run
from consilium.federation.site.settings import read_site_settings
from consilium.federation.site.state import SiteState
from consilium.federation.tasks import (
    CHECK,
    LOCAL_ONLY,
    PREPARE,
    REFUSAL_HEADER,
    REPORT_META,
    RUN_META,
    SUBMIT_MODEL,
    TRAIN,
    VALIDATE,
)
from consilium.federation.transport.set_up import set_up_peer
from consilium.federation.versions import component_versions
from consilium.learning.round_memory import RoundMemory
from consilium.learning.rounds import Schedule, TrainingResult
from consilium.learning.settings import LearningSettings
from consilium.learning.weights import Weights, difference
from consilium.records.bounds import MOST_STEPS
from consilium.records.gain import measure_gain, patient_gains
from consilium.records.readiness import SiteReadiness
from consilium.records.texts import clean_text
from consilium.tasks import DEFAULT, get_task
from consilium.tasks.registry import is_built_in
from consilium.tasks.segmentation.metrics import Scores, summarize

if TYPE_CHECKING:
    from consilium.participant.participant import Participant

_STATE_AFTER = {CHECK: "checked", PREPARE: "ready"}


class SiteExecutor(Executor):  # type: ignore[misc]
    """Trains and judges the global model on this site's cases.

    Tasks:
        `check`: look at every case as before training, and prepare none; answers a `SiteReadiness`.
        `prepare`: check that this site's versions fit the server's, and get its data ready; answers a
            `SiteReport`.
        `train`: judge the weights received, then train from them; answers the weight difference, the scores
            of the weights received, and a `SiteReport`. A site that only evaluates answers without a
            difference.
        `validate`: judge the weights received, with distances.
        `local_only`: train a model alone, as often and as long as in the federation, and compare it with the
            weights received; answers a `SiteReport` with the gain. The model stays here.
        `submit_model`: answer the weights after this site's last training, be it in an earlier process.

    What can go wrong is answered with a return code and a reason that holds no patient identifier and no
    path; the full message goes to the site's own log.

    Args:
        learning: The fields of `LearningSettings`.
    """

    def __init__(self, learning: dict[str, Any]) -> None:
        super().__init__()
        self.learning = learning
        self._task = str(learning.get("task", DEFAULT))
        if is_built_in(self._task):
            self._settings  # noqa: B018 - what can't be used is said at once
        self._participant: Participant | None = None
        self._local_weights: Weights | None = None
        self._memory: Path | None = None
        self._journal = SiteJournal()
        self._state = SiteState(self, self._journal)

    @cached_property
    def _settings(self) -> LearningSettings:
        """What the job decides. Reading it imports the task, which the site's policy has to list before."""
        return LearningSettings.parse(self.learning, source="the job's learning settings")

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Open the site's journal of the job; let go of data and weights when the job ends."""
        if event_type == EventType.START_RUN:
            set_up_peer()
            self._journal.begin(fl_ctx)
            # Torch and MONAI take seconds to load. Here the server loads them at the same time, to draw the
            # first weights; in the first task it would wait for this site. They don't load with this module,
            # which commands that write and describe jobs import as well.
            import consilium.participant.participant  # noqa: F401
        elif event_type == EventType.END_RUN:
            self._journal.end()
            if self._participant is not None:
                self._participant.close()
            self._participant = None
            self._local_weights = None

    def execute(
        self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal
    ) -> Shareable:
        """Carry out one task; see the class."""
        handlers = {
            CHECK: self._check,
            PREPARE: self._prepare,
            TRAIN: self._train,
            VALIDATE: self._validate,
            LOCAL_ONLY: self._local_only,
            SUBMIT_MODEL: self._submit_model,
        }
        handler = handlers.get(task_name)
        if handler is None:
            return refuse(ReturnCode.TASK_UNKNOWN, SiteRefusal(f"no task is named {task_name!r} here"))
        self._hear_refusal(shareable, fl_ctx)
        self._journal.start_task(task_name, shareable)
        try:
            read_site_settings(fl_ctx, self._task)  # before anything of the task is imported
            reply = handler(shareable, fl_ctx, abort_signal)
        except Cancelled as error:
            self.log_info(fl_ctx, f"{task_name}: {error}")
            return refuse(ReturnCode.TASK_ABORTED, SiteRefusal("aborted", code=RefusalCode.ABORTED))
        except SiteRefusal as error:
            self.log_error(fl_ctx, f"{task_name} refused: {error}", fire_event=False)
            return self._decline(fl_ctx, error)
        except ConsiliumError as error:
            self.log_error(fl_ctx, f"{task_name} failed: {error}", fire_event=False)
            reason = f"{type(error).__name__}: the reason is in the site's log"
            return self._decline(fl_ctx, SiteRefusal(reason, code=RefusalCode.FAILED))
        except Exception as error:  # noqa: BLE001 - the FLARE boundary: whatever it was, the others go on
            self.log_exception(fl_ctx, f"{task_name} failed: {error}", fire_event=False)
            reason = f"unexpected {type(error).__name__}: the traceback is in the site's log"
            return self._decline(fl_ctx, SiteRefusal(reason, code=RefusalCode.FAILED))
        self._state.tell(fl_ctx, _STATE_AFTER.get(task_name, "sent"))
        return reply

    def _hear_refusal(self, shareable: Shareable, fl_ctx: FLContext) -> None:
        """Take note that the server did not use this site's last answer, where the task says so."""
        header = shareable.get_header(REFUSAL_HEADER)
        refusal = clean_text(header) if isinstance(header, str) else ""
        if refusal:
            self.log_error(fl_ctx, f"the server did not use the last answer: {refusal}", fire_event=False)
            self._journal.note_refusal("server", refusal)

    def _decline(self, fl_ctx: FLContext, refusal: SiteRefusal) -> Shareable:
        """Say why this site has no answer; a process that can't even say so ends, and is started anew."""
        self._journal.note_refusal("site", refusal.public_reason)
        if not can_start_threads():
            self.log_error(
                fl_ctx,
                "this process gets no more threads from the machine, so it can't answer: it ends, and the "
                "server starts it again; give it more memory or processes (see `ulimit -a`)",
                fire_event=False,
            )
            os._exit(1)
        self._state.tell(fl_ctx, "declined")
        return refuse(ReturnCode.EXECUTION_EXCEPTION, refusal)

    def _check(self, shareable: Shareable, fl_ctx: FLContext, abort: Signal) -> Shareable:
        # What reads images is loaded where they are: the process that checks a job has no use for it.
        from consilium.federation.site.assessment import assess, hardware
        from consilium.participant.admission import examine_cases

        request = read_request(shareable)
        site = read_site_settings(fl_ctx, self._task)
        try:
            checked = examine_cases(
                site,
                get_task(self._settings.task),
                progress=lambda done, total, what: self._state.tell_cases(
                    fl_ctx, what, done, total, minimum=site.min_count
                ),
                cancelled=lambda: abort.triggered,
            )
        except SiteRefusal as error:
            self.log_error(fl_ctx, f"this site can't take part: {error}", fire_event=False)
            readiness = SiteReadiness(
                can="nothing",
                reason=error.public_reason,
                hardware=hardware(site),
                versions=component_versions(),
            )
        else:
            self._log_problems(checked.cohort.problems, fl_ctx)
            readiness = assess(checked, site, self._settings, component_versions())
        reply = FLModel(
            metrics={}, current_round=request.current_round, meta={REPORT_META: readiness.model_dump()}
        )
        return FLModelUtils.to_shareable(reply)

    def _prepare(self, shareable: Shareable, fl_ctx: FLContext, abort: Signal) -> Shareable:
        started = time.monotonic()
        request = read_request(shareable)
        participant = self._get_participant(request, fl_ctx, abort)
        return to_reply(None, {}, report_on(participant, None, time.monotonic() - started), request)

    def _train(self, shareable: Shareable, fl_ctx: FLContext, abort: Signal) -> Shareable:
        started = time.monotonic()
        model = read_request(shareable)
        participant = self._get_participant(model, fl_ctx, abort)
        scores = self._score(participant, model.params, fl_ctx, abort, distances=False)
        result: TrainingResult | None = None
        if participant.data.role == "trains":
            schedule = Schedule(model.current_round, model.total_rounds)
            result = participant.train(
                model.params,
                schedule,
                cancelled=lambda: abort.triggered,
                on_step=lambda step, steps, loss: self._state.tell(
                    fl_ctx, "training", step, steps, loss=loss
                ),
            )
            self._local_weights = result.weights
            self._journal.note_training()
        report = report_on(participant, result, time.monotonic() - started)
        params = None if result is None else difference(result.weights, model.params)
        return to_reply(params, scores, report, model)

    def _validate(self, shareable: Shareable, fl_ctx: FLContext, abort: Signal) -> Shareable:
        started = time.monotonic()
        model = read_request(shareable)
        participant = self._get_participant(model, fl_ctx, abort)
        scores = self._score(participant, model.params, fl_ctx, abort, distances=True)
        return to_reply(None, scores, report_on(participant, None, time.monotonic() - started), model)

    def _local_only(self, shareable: Shareable, fl_ctx: FLContext, abort: Signal) -> Shareable:
        started = time.monotonic()
        model = read_request(shareable)
        participant = self._get_participant(model, fl_ctx, abort)
        site = read_site_settings(fl_ctx, self._task)
        steps = model.total_rounds * self._settings.steps_per_round(len(participant.data.train))
        pairs = compare_with_local_only(
            participant,
            self._settings,
            site,
            model.params,
            model.total_rounds,
            memory=self._memory,
            state=self._state,
            fl_ctx=fl_ctx,
            abort=abort,
        )
        gain = measure_gain(pairs, min_count=site.min_count)
        self._journal.note_gain(gain, patient_gains(pairs), self._memory)
        report = report_on(participant, None, time.monotonic() - started)
        report.steps, report.gain = min(steps, MOST_STEPS), gain
        return to_reply(None, {}, report, model)

    def _submit_model(self, shareable: Shareable, fl_ctx: FLContext, abort: Signal) -> Shareable:
        weights = self._local_weights or self._recall_model(fl_ctx)
        if weights is None:
            raise SiteRefusal("this site has not trained a model in this job")
        return DXO(DataKind.WEIGHTS, data=dict(weights)).to_shareable()

    def _recall_model(self, fl_ctx: FLContext) -> Weights | None:
        """Return what this site trained before its process was started anew; None if it didn't."""
        memory = find_memory(read_site_settings(fl_ctx, self._task).cache_dir, str(fl_ctx.get_job_id()))
        return None if memory is None else RoundMemory(memory).last_model()

    def _get_participant(self, request: FLModel, fl_ctx: FLContext, abort: Signal) -> Participant:
        """Prepare the site's data at the first task of the job; every later one finds it ready."""
        if self._participant is None:
            from consilium.participant.participant import Participant, prepare_site

            site = read_site_settings(fl_ctx, self._task)
            run = request.meta.get(RUN_META)
            data = prepare_site(
                site,
                self._settings,
                run=str(run),
                name=str(fl_ctx.get_identity_name()),
                progress=lambda done, total, what: self._state.tell_cases(
                    fl_ctx, f"preparing: {what}", done, total, minimum=site.min_count
                ),
                cancelled=lambda: abort.triggered,
            )
            self._log_problems(data.problems, fl_ctx)
            self.log_info(
                fl_ctx,
                f"this site {data.role}: {counted(len(data.train), 'training case')}, "
                f"{counted(len(data.validation), 'validation case')}, "
                f"{data.held_back} held back, {len(data.problems)} left out",
            )
            self._journal.note_cases(data, site)
            self._memory = memory_of_run(site.cache_dir, run, str(fl_ctx.get_job_id()))
            self._participant = Participant(data, self._settings, site, memory=self._memory)
        return self._participant

    def _log_problems(self, problems: Sequence[CaseProblem], fl_ctx: FLContext) -> None:
        for problem in problems:
            # The site's own log: the only place that names a patient.
            self.log_warning(fl_ctx, problem.describe(), fire_event=False)

    def _score(
        self, participant: Participant, weights: Weights, fl_ctx: FLContext, abort: Signal, *, distances: bool
    ) -> Scores:
        """Return mean scores; none where they would be of too few patients to leave the site."""
        return summarize(
            participant.score(
                weights,
                distances=distances,
                cancelled=lambda: abort.triggered,
                on_case=lambda done, total: self._state.tell(fl_ctx, "validating", done, total),
            )
        )
