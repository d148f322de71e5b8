"""Return of sites to running jobs."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nvflare.apis.client import Client
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import Job
from nvflare.fuel.f3.cellnet.defs import CellChannel, CellChannelTopic
from nvflare.fuel.f3.message import Message as CellMessage
from nvflare.private.defs import CellMessageHeaderKeys
from nvflare.private.fed.app.deployer import server_deployer

from consilium.errors import ConfigurationError
from consilium.federation.replacement import replace
from consilium.federation.server.job_runner import ResilientJobRunner, SiteNotStarted
from consilium.federation.server.second_starts import second_starts
from consilium.records.progress import read_progress

_SECONDS_BETWEEN_LOOKS = 1.0
_SETTLING_SECONDS = 3.0
"""Heartbeats this soon after a start are ignored, as they may be from before it."""

_MOST_JOBS, _LONGEST_JOB_ID = 1000, 100
"""Limits of what one site can report."""

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 10.0, 600.0
_STARTS = 6
"""Restarts of a job at a site that stays connected, before it is left to its IT department."""


@dataclass
class _JobReport:
    """A site's last report of its jobs, with its time."""

    jobs: frozenset[str] = frozenset()
    at: float = 0.0


@dataclass
class _Attempts:
    """Restarts of a job at a site in one session, with the earliest time of the next."""

    token: str
    tries: int = 0
    starts: int = 0
    not_before: float = field(default_factory=lambda: time.monotonic() + _SETTLING_SECONDS)

    def postpone(self) -> None:
        """Count a try, and postpone the next one."""
        pause = min(_FIRST_PAUSE_SECONDS * 2**self.tries, _LONGEST_PAUSE_SECONDS)
        self.tries += 1
        self.not_before = time.monotonic() + pause


class SiteReturn(FLComponent):  # type: ignore[misc]
    """Restart a running job at every site of the job that does not run it.

    A site's process may have been killed, its machine restarted, or the site may have been away when the job
    started. FLARE leaves such sites out until the job ends. Each site's heartbeats list the jobs that it
    runs; this component of the server's `resources.json` compares.

    A process that keeps dying is restarted after increasing pauses, at most six times in one session of the
    site; then its IT department has to read its log.

    The component also writes into the running jobs' metadata which sites were started in two places.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0; the server doesn't start then.
    """

    def __init__(self) -> None:
        super().__init__()
        replace(server_deployer, "JobRunner", ResilientJobRunner)
        self._engine: Any = None
        self._heard: dict[str, _JobReport] = {}
        self._attempts: dict[tuple[str, str], _Attempts] = {}
        self._stopped = threading.Event()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Start and stop with the server; these events are not fired in a job's process."""
        if event_type == EventType.SYSTEM_START:
            self._engine = fl_ctx.get_engine()
            self._engine.server.cell.core_cell.add_incoming_request_filter(
                channel=CellChannel.SERVER_MAIN, topic=CellChannelTopic.HEART_BEAT, cb=self._listen
            )
            threading.Thread(target=self._watch, name="site_return", daemon=True).start()
        elif event_type == EventType.SYSTEM_END:
            self._stopped.set()

    def _listen(self, message: CellMessage) -> None:
        """Record the jobs that a site reports; the message is not changed."""
        jobs = message.get_header(CellMessageHeaderKeys.JOB_IDS)
        jobs = () if jobs is None else jobs
        token = message.get_header(CellMessageHeaderKeys.TOKEN)
        if isinstance(token, str) and isinstance(jobs, list | tuple | set) and len(jobs) <= _MOST_JOBS:
            ids = (job for job in jobs if isinstance(job, str) and len(job) <= _LONGEST_JOB_ID)
            self._heard[token] = _JobReport(frozenset(ids), time.monotonic())

    def _watch(self) -> None:
        while not self._stopped.wait(_SECONDS_BETWEEN_LOOKS):
            try:
                with self._engine.new_context() as fl_ctx:
                    self._check_sites(fl_ctx)
            except Exception as error:  # noqa: BLE001 - the FLARE boundary: this thread must outlive any job
                self.logger.error(f"sites could not be brought back ({type(error).__name__}: {error})")

    def _check_sites(self, fl_ctx: FLContext) -> None:
        runner = self._engine.job_runner
        if not isinstance(runner, ResilientJobRunner):
            return
        running = {job_id: job for job_id, job in list(runner.running_jobs.items()) if not job.run_aborted}
        connected = {client.token for client in self._engine.get_clients()}
        self._heard = {token: heard for token, heard in list(self._heard.items()) if token in connected}
        self._attempts = {key: one for key, one in self._attempts.items() if key[0] in running}
        second_starts.publish(list(running), fl_ctx)
        for job_id, job in running.items():
            if job_id not in self._engine.run_processes or not self._is_at_work(job_id):
                continue
            for client in runner.sites_of(job, fl_ctx):
                if self._is_due(job_id, client):
                    self._start(runner, job, client, fl_ctx)

    def _is_at_work(self, job_id: str) -> bool:
        """Return whether a job still has work for sites: they end before its process at the server does.

        A job without a progress record is not Consilium's, and is left alone.
        """
        try:
            progress = read_progress(Path(self._engine.get_workspace().get_run_dir(job_id)))
        except ConfigurationError as error:  # of another version, or damaged: other jobs' sites return
            self.logger.warning(f"the progress of job {job_id} can't be read ({type(error).__name__})")
            return False
        return progress is not None and progress.ended is None

    def _is_due(self, job_id: str, client: Client) -> bool:
        attempts = self._attempts.get((job_id, client.name))
        if attempts is None or attempts.token != client.token:
            attempts = self._attempts[job_id, client.name] = _Attempts(client.token)
        heard = self._heard.get(client.token, _JobReport())
        return (
            job_id not in heard.jobs
            and heard.at > attempts.not_before
            and time.monotonic() > attempts.not_before
            and attempts.starts < _STARTS
        )

    def _start(self, runner: ResilientJobRunner, job: Job, client: Client, fl_ctx: FLContext) -> None:
        attempts = self._attempts[job.job_id, client.name]
        attempts.postpone()
        try:
            runner.start_at(job, client, fl_ctx)
        except SiteNotStarted as error:
            self.log_warning(
                fl_ctx, f"{client.name} can't rejoin job {job.job_id}: {error}", fire_event=False
            )
        except Exception as error:  # noqa: BLE001 - the FLARE boundary: other sites and jobs are brought back
            self.log_exception(
                fl_ctx, f"{client.name} could not rejoin job {job.job_id}: {error}", fire_event=False
            )
        else:
            attempts.starts += 1
            self.log_info(
                fl_ctx,
                f"{client.name} did not run job {job.job_id}; it was restarted there "
                f"({attempts.starts} of at most {_STARTS})",
                fire_event=False,
            )
