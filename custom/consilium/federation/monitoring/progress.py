"""Progress record of a job at the server: a file in its run folder, and FLARE's stats."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nvflare.apis.dxo import from_shareable
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType
from nvflare.app_common.widgets.streaming import AnalyticsReceiver
from nvflare.widgets.info_collector import InfoCollector
from pydantic import ValidationError

from consilium.data.files import write_atomically
from consilium.errors import ConfigurationError, RefusalCode
from consilium.federation.message_names import CHECKPOINT_EVENT, SITE_STATE_EVENT, STATS_GROUP, TRAIN
from consilium.federation.monitoring.job_events import (
    ANSWER_REFUSED,
    ANSWER_TAKEN,
    JOB_BEGUN,
    TASK_ASKED,
    TASK_CLOSED,
    TASK_CLOSING,
    event_data,
)
from consilium.federation.monitoring.job_outcomes import announce_outcome, save_outcome
from consilium.records.federation import FederationRecord, SiteReport
from consilium.records.job_record import load_record
from consilium.records.outcome import determine_outcome
from consilium.records.progress import (
    PROGRESS_FILE,
    Ended,
    EndReason,
    JobProgress,
    LastCheckpoint,
    Problem,
    SiteProgress,
    StateMessage,
)

_NOT_IN_TIME = "it had not answered when the task was closed"


class ProgressReceiver(AnalyticsReceiver):  # type: ignore[misc]
    """Gathers the reports of the controller and the sites about a job.

    They go to `progress.json` in the run folder, for the server's operator, and into FLARE's stats of the
    job, for every user who has the right to view it. They hold words, counts and times, nothing of a patient.
    At the end the job's outcome is determined from its record, sent to the sites, and saved for
    `JobOutcomes`.
    """

    def __init__(self) -> None:
        super().__init__(events=[f"fed.{SITE_STATE_EVENT}"])
        self._folder: Path | None = None
        self._progress = JobProgress(started=time.time())
        self._rounds_timed = 0
        self._trained: set[str] = set()
        self._handlers: dict[str, Callable[[FLContext], None]] = {
            JOB_BEGUN: self._note_begin,
            TASK_ASKED: self._note_task,
            TASK_CLOSING: self._note_deadline,
            TASK_CLOSED: self._note_absent,
            ANSWER_TAKEN: self._note_answer,
            ANSWER_REFUSED: self._note_refusal,
            CHECKPOINT_EVENT: self._note_checkpoint,
            AppEventType.ROUND_STARTED: self._start_round,
            AppEventType.ROUND_DONE: self._end_round,
            EventType.END_WORKFLOW: self._determine_outcome,
        }

    def initialize(self, fl_ctx: FLContext) -> None:
        """Find the run folder."""
        self._folder = Path(fl_ctx.get_engine().get_workspace().get_run_dir(fl_ctx.get_job_id()))
        self._write()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Record an event of the controller; the base class handles those of the sites."""
        super().handle_event(event_type, fl_ctx)
        if event_type in self._handlers and self._folder is not None:
            with self._save_lock:
                self._handlers[event_type](fl_ctx)
                self._write()
            if self._progress.ended:
                announce_outcome(fl_ctx, self._progress.ended.kind)
        elif event_type == InfoCollector.EVENT_TYPE_GET_STATS:
            collector = fl_ctx.get_prop(InfoCollector.CTX_KEY_STATS_COLLECTOR)
            with self._save_lock:
                stats = self._progress.model_copy(update={"now": time.time()}).model_dump(mode="json")
            collector.set_info(STATS_GROUP, stats)

    def save(self, fl_ctx: FLContext, shareable: Shareable, record_origin: str) -> None:
        """Record one site's state; drop invalid messages.

        Args:
            fl_ctx: A context of the job.
            shareable: The message.
            record_origin: The site, as FLARE has verified.
        """
        known = {client.name for client in fl_ctx.get_engine().get_clients()}
        if record_origin not in known | self._progress.sites.keys():
            return  # not a site of this job
        try:
            said = StateMessage.model_validate(from_shareable(shareable).data)
        except Exception as error:  # noqa: BLE001 - the FLARE boundary: a site sends what it likes
            dropped = f"{record_origin}: a message about its state is dropped ({type(error).__name__})"
            self.log_warning(fl_ctx, dropped, fire_event=False)
            return
        site, now = self._site(record_origin), time.time()
        if said.state != site.state:
            site.state, site.since = said.state, now
        site.done, site.total, site.loss, site.heard = said.done, said.total, said.loss, now
        self._write()

    def finalize(self, fl_ctx: FLContext) -> None:
        """Write the final state; some records are completed only now."""
        self._determine_outcome(fl_ctx)
        self._write()
        if self._progress.ended:
            save_outcome(fl_ctx, self._progress)

    def _site(self, name: str) -> SiteProgress:
        return self._progress.sites.setdefault(name, SiteProgress(since=time.time()))

    def _note_begin(self, fl_ctx: FLContext) -> None:
        self._progress.deadline = _clock(event_data(fl_ctx)["seconds"])

    def _note_task(self, fl_ctx: FLContext) -> None:
        data = event_data(fl_ctx)
        self._progress.task, self._progress.until = data["task"], _clock(data["seconds"])
        for name in data["sites"]:
            self._site(name)
        for name, site in self._progress.sites.items():
            site.answer = "awaited" if name in data["sites"] else None
        if not self._progress.resumed and self._folder is not None:
            self._progress.resumed = _resumptions(self._folder)

    def _note_deadline(self, fl_ctx: FLContext) -> None:
        self._progress.until = _clock(event_data(fl_ctx)["seconds"])

    def _note_absent(self, fl_ctx: FLContext) -> None:
        self._progress.until = None
        lost: Mapping[str, str] = event_data(fl_ctx).get("lost", {})
        for name, site in self._progress.sites.items():
            if site.answer == "awaited":
                code = RefusalCode.LOST if name in lost else RefusalCode.LATE
                site.answer, site.problem = "none", self._problem(lost.get(name, _NOT_IN_TIME), code)

    def _note_answer(self, fl_ctx: FLContext) -> None:
        data = event_data(fl_ctx)
        site = self._site(data["site"])
        site.answer = "taken"
        try:
            report = SiteReport.model_validate(data["report"])
        except ValidationError:
            return  # an answer to another task, such as readiness
        counts = list(report.left_out.values())
        if report.train_cases is not None:
            site.used = report.train_cases + (report.validation_cases or 0) + (report.test_cases or 0)
        site.left_out = None if None in counts else sum(count or 0 for count in counts)
        if self._progress.task == TRAIN and report.role == "trains":
            self._trained.add(data["site"])

    def _note_refusal(self, fl_ctx: FLContext) -> None:
        data = event_data(fl_ctx)
        site = self._site(data["site"])
        site.answer, site.problem = "refused", self._problem(data["reason"], data.get("code"))
        self._trained.discard(data["site"])

    def _problem(self, reason: str, code: str | None) -> Problem:
        progress = self._progress
        return Problem(reason=reason, code=code, task=progress.task, round=progress.round, time=time.time())

    def _note_checkpoint(self, fl_ctx: FLContext) -> None:
        self._progress.checkpoint = LastCheckpoint.model_validate(event_data(fl_ctx))

    def _start_round(self, fl_ctx: FLContext) -> None:
        progress, number = self._progress, fl_ctx.get_prop(AppConstants.CURRENT_ROUND) + 1
        progress.attempt = progress.attempt + 1 if number == progress.round else 1
        progress.round, progress.rounds = number, fl_ctx.get_prop(AppConstants.NUM_ROUNDS)
        progress.round_started = time.time()
        self._trained.clear()

    def _end_round(self, fl_ctx: FLContext) -> None:
        progress = self._progress
        seconds = time.time() - (progress.round_started or time.time())
        self._rounds_timed += 1
        mean = progress.round_seconds or 0.0
        progress.round_seconds = mean + (seconds - mean) / self._rounds_timed
        for name in self._trained:
            self._site(name).rounds_used += 1

    def _determine_outcome(self, fl_ctx: FLContext) -> None:
        if self._folder is None:
            return
        try:
            outcome = determine_outcome(load_record(self._folder))
        except ConfigurationError:
            early = EndReason(text="the job left no record: it ended early", code=RefusalCode.JOB_FAILED)
            self._progress.ended = Ended(kind="failure", reasons=[early], time=time.time())
            return
        self._progress.ended = Ended(kind=outcome.kind, reasons=list(outcome.reasons), time=time.time())

    def _write(self) -> None:
        if self._folder is not None:
            self._progress.now = time.time()
            content = self._progress.model_dump_json().encode()
            write_atomically(self._folder / PROGRESS_FILE, content, durable=False)


def _clock(seconds: float) -> float | None:
    return time.time() + seconds if math.isfinite(seconds) else None


def _resumptions(folder: Path) -> list[Any]:
    try:
        return list(FederationRecord.load(folder).resumed)
    except FileNotFoundError:
        return []  # a job without rounds
