"""Base class of this package's controllers: sends a question to every site and collects the answers."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Lock

from nvflare.apis.controller_spec import ClientTask
from nvflare.apis.fl_context import FLContext
from nvflare.apis.impl.wf_comm_server import WFCommServer
from nvflare.apis.shareable import ReturnCode, Shareable
from nvflare.apis.wf_comm_spec import WFCommSpec
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.workflows.base_model_controller import BaseModelController
from nvflare.app_common.workflows.model_controller import ModelController

from consilium.errors import RefusalCode
from consilium.federation.exchange.answer_form import Absence
from consilium.federation.exchange.communicator import RejectedShareable, TaskCommunicator, check_answer
from consilium.federation.message_names import (
    CODE_HEADER,
    LEFT_OUT_HEADER,
    REASON_HEADER,
    REPORT_META,
    TASK_READY_TOPIC,
    VERSIONS_META,
)
from consilium.federation.monitoring.job_events import (
    ANSWER_REFUSED,
    ANSWER_TAKEN,
    TASK_ASKED,
    TASK_CLOSED,
    TASK_CLOSING,
    announce,
    event_data,
)
from consilium.federation.replacement import require_known
from consilium.federation.transport.message_checks import BROKEN_ANSWER
from consilium.federation.transport.set_up import limit_job_messages, set_up_server
from consilium.federation.transport.transfer_slots import TransferSlots
from consilium.federation.transport.tuning import grow_callback_pool
from consilium.federation.versions import component_versions
from consilium.records.texts import clean_text

_POLL_SECONDS = 0.1
_SECONDS_BETWEEN_REFRESHES = 2.0


class SiteController(ModelController):  # type: ignore[misc]
    """A controller that treats a site's decline or failure as an answer.

    FLARE's own controllers end the job for everybody when one site answers with an error.

    Args:
        persistor_id: Component that loads and saves the model; empty for a job without one.
    """

    def __init__(self, persistor_id: str = "") -> None:
        super().__init__(persistor_id=persistor_id, task_check_period=_POLL_SECONDS)
        self._slots: TransferSlots | None = None  # taken when the job runs
        self._asking = Lock()  # answers come in threads of FLARE's
        self._open = False
        self._waiting: set[str] = set()
        self._sites_refreshed = -math.inf

    def start_controller(self, fl_ctx: FLContext) -> None:
        """Start, with this package's way of sending models.

        Raises:
            ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
        """
        require_known(BaseModelController, ModelController, WFCommServer)
        engine = fl_ctx.get_engine()
        self._slots = set_up_server()
        limit_job_messages(engine, Path(engine.get_workspace().get_run_dir(fl_ctx.get_job_id())))
        super().start_controller(fl_ctx)

    def stop_controller(self, fl_ctx: FLContext) -> None:
        """End, and release the sites that wait for a transfer."""
        if self._slots is not None:
            self._slots.release_all()
        super().stop_controller(fl_ctx)

    def set_communicator(self, communicator: WFCommSpec) -> None:
        """Replace the communicator made by FLARE's configuration of a job."""
        super().set_communicator(communicator)  # it still hears of events, and answers with our name
        super().set_communicator(TaskCommunicator())

    @abstractmethod
    def take(self, site: str, answer: FLModel) -> bool:
        """Take one site's answer; returns whether it counts."""

    @abstractmethod
    def note_refusal(self, site: str, absence: Absence) -> None:
        """Record that a site's answer doesn't count, and why."""

    def reject(self, site: str, reason: str, code: RefusalCode = RefusalCode.ANSWER) -> bool:
        """Reject an answer that is wrong; returns False for `take` to return."""
        return self.set_aside(site, Absence(reason, code))

    def ask(
        self,
        task: str,
        question: FLModel,
        sites: list[str],
        *,
        deadline_seconds: float = math.inf,
        grace_seconds: float = math.inf,
        silence_seconds: float = math.inf,
        silence_with_enough_seconds: float = math.inf,
        enough: Callable[[], bool] = lambda: False,
    ) -> None:
        """Send a task to sites and wait for their answers; each is passed to `take` on arrival.

        An answer that comes after that is dropped. A site that still works on it stops: FLARE's clients look
        every few seconds whether their task is still wanted. A site that is lost is not waited for; one whose
        process was restarted meanwhile gets the task again.

        Args:
            task: The task's name.
            question: What the sites get.
            sites: Whom to ask.
            deadline_seconds: How long to wait for the last of them.
            grace_seconds: How long to wait for the others once there are enough.
            silence_seconds: A site that sends nothing for so long is lost.
            silence_with_enough_seconds: The same once there are enough, if it is shorter.
            enough: Whether the answers so far would do.
        """
        if self.abort_signal.triggered or not sites:
            return  # FLARE takes no site for every site
        question.meta = {**(question.meta or {}), VERSIONS_META: component_versions()}
        self._open, self._waiting = True, set(sites)
        grow_callback_pool(len(sites))
        announce(self, TASK_ASKED, task=task, sites=sites, seconds=deadline_seconds)
        self.send_model(task_name=task, data=question, targets=sites, callback=self._receive)
        self._wake(sites)
        began = time.monotonic()
        end = began + deadline_seconds
        graced = closed = False
        lost: dict[str, str] = {}
        tasks = self.communicator
        if isinstance(tasks, TaskCommunicator):
            tasks.begin_waiting()
        while self.get_num_standing_tasks() and not self.abort_signal.triggered:
            if isinstance(tasks, TaskCommunicator):
                end += tasks.note_running()
            if not graced and grace_seconds < math.inf and enough():
                graced, end = True, min(end, time.monotonic() + grace_seconds)
                announce(self, TASK_CLOSING, seconds=end - time.monotonic())
            silence = silence_seconds
            if silence_with_enough_seconds < silence and enough():
                silence = silence_with_enough_seconds
            absences = {site: self._absence(site, began, silence) for site in set(self._waiting)}
            # Or no site is waited for. FLARE takes a moment to end a task; the reasons stay as they are then.
            if not closed and (time.monotonic() >= end or all(absences.values())):
                closed = True
                lost = {site: reason for site, reason in absences.items() if reason}
                self._note_lost(lost)
                self.note_absences(lost)
                self.cancel_all_tasks()
            self._wait_briefly()
        with self._asking:
            self._open = False
        announce(self, TASK_CLOSED, lost=lost)

    def pause(self, seconds: float) -> None:
        """Wait, but no longer than the job runs."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.abort_signal.triggered:
            self._wait_briefly()

    def connected_sites(self) -> list[str]:
        """Return the sites that take part in the job now; they come and go while it runs."""
        self._refresh_connected_sites()
        return list(self.sample_clients())

    def note_absences(self, reasons: Mapping[str, str]) -> None:
        """Record sites that are no longer waited for, and why; without effect here."""

    def set_aside(self, site: str, absence: Absence) -> bool:
        """Leave a site's answer out, with a reason for the operator; returns False for `take` to return.

        Args:
            site: The site.
            absence: Its reason is cleaned and shortened here, as part of it may be the site's own words.
        """
        absence = replace(absence, reason=clean_text(absence.reason))
        self.warning(f"{site}: {absence.reason}")
        self.note_refusal(site, absence)
        announce(self, ANSWER_REFUSED, site=site, reason=absence.reason, code=absence.code.value)
        return False

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Reject a result that FLARE can't assign to a task."""
        super().handle_event(event_type, fl_ctx)
        if event_type == BROKEN_ANSWER:
            data = event_data(fl_ctx)
            with self._asking:
                if self._open and data["site"] in self._waiting:
                    self._waiting.discard(data["site"])
                    self.reject(data["site"], data["reason"])

    def _process_result(self, client_task: ClientTask, fl_ctx: FLContext) -> None:
        """Take a site's result in the form of an answer; called by FLARE."""
        client_task.result = check_answer(client_task.result, client_task.client.name)
        super()._process_result(client_task, fl_ctx)

    def _receive(self, answer: FLModel) -> bool:
        site = str(answer.meta["client_name"])  # FLARE's own, see `_process_result`
        with self._asking:
            self._waiting.discard(site)
            try:
                if not self._open:
                    return self._drop(site)
                taken = self._take_or_reject(site, answer)
            finally:
                # FLARE holds the answer for a while, and what it brought would count as memory.
                (answer.params or {}).clear()
            if taken:
                announce(
                    self,
                    ANSWER_TAKEN,
                    site=site,
                    report=answer.meta.get(REPORT_META),
                    scores=answer.metrics,
                    round=answer.current_round,
                )
            return taken

    def _take_or_reject(self, site: str, answer: FLModel) -> bool:
        """Take an answer; a fault in it affects only its own site."""
        try:
            return self.take(site, answer)
        except Exception as error:  # noqa: BLE001 - the FLARE boundary: a site sends what it likes
            self.exception(f"{site}: its answer could not be taken")
            return self.reject(site, f"its answer can't be used ({type(error).__name__})")

    def _drop(self, site: str) -> bool:
        self.info(f"{site}: its answer came too late and is dropped")
        return False

    def _accept_train_result(
        self, client_name: str, result: Shareable, fl_ctx: FLContext, is_unknown_task: bool = False
    ) -> bool:
        if is_unknown_task:
            return self._drop(client_name)
        if result.get_return_code() == ReturnCode.OK:
            fl_ctx.set_prop(AppConstants.TRAINING_RESULT, result, private=True, sticky=False)
            return True
        with self._asking:
            self._waiting.discard(client_name)
            if not self._open:
                return self._drop(client_name)
            reason = str(result.get_header(REASON_HEADER))
            code = RefusalCode(result.get_header(CODE_HEADER))
            if isinstance(result, RejectedShareable):
                return self.reject(client_name, reason, code)
            return self.set_aside(client_name, Absence(reason, code, result.get_header(LEFT_OUT_HEADER)))

    def _wake(self, sites: list[str]) -> None:
        """Have sites that wait request their task now; one that the message doesn't reach does so later."""
        self.engine.send_aux_request(
            targets=sites,
            topic=TASK_READY_TOPIC,
            request=Shareable(),
            timeout=0.0,
            fl_ctx=self.fl_ctx,
            optional=True,
        )

    def _absence(self, site: str, since: float, silence_seconds: float) -> str | None:
        tasks = self.communicator
        return tasks.absence(site, since, silence_seconds) if isinstance(tasks, TaskCommunicator) else None

    def _note_lost(self, sites: Iterable[str]) -> None:
        if isinstance(self.communicator, TaskCommunicator):
            for site in sites:
                self.communicator.note_lost(site)

    def _wait_briefly(self) -> None:
        """Sleep briefly, and regularly refresh the list of sites: requests of unknown ones are rejected."""
        if time.monotonic() - self._sites_refreshed > _SECONDS_BETWEEN_REFRESHES:
            self._refresh_connected_sites()
        time.sleep(_POLL_SECONDS)

    def _refresh_connected_sites(self) -> None:
        try:
            self.engine.sync_clients_from_main_process()
        except RuntimeError as error:
            self.warning(f"the server's parent process did not report which sites are connected: {error}")
        self._sites_refreshed = time.monotonic()
