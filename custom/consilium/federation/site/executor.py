"""The site's executor, which answers each task of the server with a result or a reason."""

from __future__ import annotations

import os
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from consilium.errors import Cancelled, ConsiliumError, RefusalCode, SiteRefusal
from consilium.federation.message_names import (
    CHECK,
    EVALUATE,
    LOCAL_ONLY,
    PREPARE,
    REFUSAL_CODE_HEADER,
    REFUSAL_HEADER,
)
from consilium.federation.site.evaluation import SiteEvaluator
from consilium.federation.site.heartbeats import Heartbeats
from consilium.federation.site.job_part import JobPart
from consilium.federation.site.journal import SiteJournal
from consilium.federation.site.replies import to_refusal
from consilium.federation.site.state import StateReporter
from consilium.federation.site.task_handlers import Handler, TaskHandlers
from consilium.federation.site.task_wait import wait_for_wake_ups
from consilium.federation.transport.set_up import set_up_peer
from consilium.learning.algorithms import DEFAULT_ALGORITHM, parse_algorithm
from consilium.process_limits import can_start_threads
from consilium.records.texts import clean_text

_STATE_AFTER = {CHECK: "checked", PREPARE: "ready"}


class SiteExecutor(Executor):  # type: ignore[misc]
    """Trains and evaluates the global model on this site's cases.

    Tasks:
        `check`: look at every case as before training, and prepare none; answers a `SiteReadiness`.
        `prepare`: check that this site's versions fit the server's, and get its data ready; answers a
            `SiteReport`.
        `train`: evaluate the weights received, then train from them; answers the weight difference, the
            scores of the weights received, and a `SiteReport`. A site that only evaluates answers without a
            difference.
        `validate`: evaluate the weights received, as a final model.
        `local_only`: train a model alone, as often and as long as in the federation, and compare it with the
            weights received; answers a `SiteReport` with the gain. The model stays here.
        `evaluate`: measure the weights received on the cases that no job trains on; answers a
            `SiteEvaluation`. In a job that evaluates models, `local_only` asks for the same about the model
            that the hospital's settings name.
        The questions that the job's algorithm declares: what its `SiteDialogue` answers.

    What can go wrong is answered with a return code and a reason that holds no patient identifier and no
    path; the full message goes to the site's own log.

    Args:
        learning: The fields of `LearningSettings`.
        algorithm: The algorithm's name and settings; None for a job that trains nothing.
        min_patients: Fewest patients that the job wants behind an answer about a model; a hospital's own
            minimum counts where it is larger. None for a job that evaluates none.
        min_sites: Fewest sites whose updates make a round of a training.
    """

    def __init__(
        self,
        learning: dict[str, Any],
        algorithm: dict[str, Any] | None = None,
        min_patients: int | None = None,
        min_sites: int = 1,
    ) -> None:
        super().__init__()
        self.learning = learning
        self.algorithm = algorithm
        self.min_patients = min_patients
        self.min_sites = min_sites
        self._journal = SiteJournal()
        self._heartbeats = Heartbeats()
        chosen = parse_algorithm(algorithm) if algorithm else DEFAULT_ALGORITHM
        self._state = StateReporter(self, self._journal, hides_cases=chosen.sums_reports)
        part = JobPart(learning, chosen, self, self._state, self._journal, min_sites)
        self._handlers = TaskHandlers(part)
        evaluator = SiteEvaluator(learning, min_patients or 1, self, self._state)
        self._evaluators: dict[str, Handler] = {EVALUATE: evaluator.evaluate}
        if min_patients is not None:  # in a job that evaluates models, and not in a training
            self._evaluators[LOCAL_ONLY] = evaluator.evaluate_local

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Open the site's journal of the job and send heartbeats; free data and weights when the job ends."""
        if event_type == EventType.START_RUN:
            set_up_peer()
            self._heartbeats.begin(fl_ctx.get_engine())
            wait_for_wake_ups(fl_ctx.get_engine())
            self._journal.begin(fl_ctx)
            # Torch and MONAI take seconds to load. Here the server loads them at the same time, to draw the
            # first weights; in the first task it would wait for this site. They don't load with this module,
            # which commands that write and describe jobs import as well.
            import consilium.participant.participant  # noqa: F401
        elif event_type == EventType.END_RUN:
            self._heartbeats.end()
            self._journal.end()
            self._handlers.close()

    def execute(
        self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal
    ) -> Shareable:
        """Carry out one task; see the class."""
        handler = self._evaluators.get(task_name) or self._handlers.find(task_name)
        if handler is None:
            return to_refusal(ReturnCode.TASK_UNKNOWN, SiteRefusal(f"no task is named {task_name!r} here"))
        self._log_rejection(shareable, fl_ctx)
        self._journal.start_task(task_name, shareable)
        try:
            reply = handler(shareable, fl_ctx, abort_signal)
        except Cancelled as error:
            self.log_info(fl_ctx, f"{task_name}: {error}")
            return to_refusal(ReturnCode.TASK_ABORTED, SiteRefusal("aborted", code=RefusalCode.ABORTED))
        except SiteRefusal as error:
            self.log_error(fl_ctx, f"{task_name} declined: {error}", fire_event=False)
            return self._decline(fl_ctx, error)
        except ConsiliumError as error:
            self.log_error(fl_ctx, f"{task_name} failed: {error}", fire_event=False)
            reason = f"{type(error).__name__}: the reason is in the site's log"
            return self._decline(fl_ctx, SiteRefusal(reason, code=RefusalCode.FAILED))
        except Exception as error:  # noqa: BLE001 - the FLARE boundary: whatever it was, the others continue
            self.log_exception(fl_ctx, f"{task_name} failed: {error}", fire_event=False)
            reason = f"unexpected {type(error).__name__}: the traceback is in the site's log"
            return self._decline(fl_ctx, SiteRefusal(reason, code=RefusalCode.FAILED))
        self._state.report(fl_ctx, _STATE_AFTER.get(task_name, "sent"))
        return reply

    def _log_rejection(self, shareable: Shareable, fl_ctx: FLContext) -> None:
        """Record a rejection of this site's last answer, as reported with the task."""
        header = shareable.get_header(REFUSAL_HEADER)
        refusal = clean_text(header) if isinstance(header, str) else ""
        if refusal:
            self.log_error(fl_ctx, f"the server rejected the last answer: {refusal}", fire_event=False)
            self._journal.note_refusal("server", refusal, shareable.get_header(REFUSAL_CODE_HEADER))

    def _decline(self, fl_ctx: FLContext, refusal: SiteRefusal) -> Shareable:
        """Return the refusal of a task; a process that can't even send it ends, and is started again."""
        self._journal.note_refusal("site", refusal.public_reason, refusal.code)
        if not can_start_threads():
            self.log_error(
                fl_ctx,
                "this process can't start any more threads, so it can't answer; it ends, and the server "
                "restarts it. Give it more memory or processes (see `ulimit -a`)",
                fire_event=False,
            )
            os._exit(1)
        self._state.report(fl_ctx, "declined")
        return to_refusal(ReturnCode.EXECUTION_EXCEPTION, refusal)
