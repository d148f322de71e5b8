"""Automatic continuation of jobs after a failure of the server."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import SystemComponents
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import Job, JobMetaKey, RunStatus
from nvflare.apis.utils.job_utils import get_event_job_id
from nvflare.private.fed.server.job_cmds import CLONED_META_KEYS

from consilium.counts import counted
from consilium.errors import RefusalCode
from consilium.federation.message_names import INTERRUPTION_META, RESUME_META
from consilium.federation.rounds.checkpoints import CheckpointPlace
from consilium.learning.checkpoints import Checkpoint
from consilium.records.job_status import NOBODY

_SECONDS_BETWEEN_LOOKS = 1.0
_RETURN_SECONDS = 60.0
"""How long a job waits for the rest of its sites once enough are connected."""

_FRUITLESS = 5
"""Interruptions in a row without a new durable round after which a job is not continued automatically."""

_KEPT_META = frozenset(
    {
        *CLONED_META_KEYS,
        JobMetaKey.SUBMITTER_NAME.value,
        JobMetaKey.SUBMITTER_ORG.value,
        JobMetaKey.SUBMITTER_ROLE.value,
        JobMetaKey.SCOPE.value,
        JobMetaKey.JOB_LAUNCHER_SPEC.value,
    }
)


@dataclass(frozen=True)
class _Waiting:
    """An interrupted job waiting for its sites.

    Attributes:
        job: The interrupted one.
        sites: The sites of its last durable round.
        since: Start of the wait, on the monotonic clock.
    """

    job: Job
    sites: frozenset[str]
    since: float

    def is_ready(self, connected: Collection[str]) -> bool:
        """Return whether all its sites are back, or enough of them and the wait is over."""
        if len(connected) < max(self.job.min_sites or 1, 1):
            return False
        return self.sites <= set(connected) or time.monotonic() - self.since > _RETURN_SECONDS


class JobContinuation(FLComponent):  # type: ignore[misc]
    """Continue every job whose server processes were killed.

    FLARE leaves such a job RUNNING forever. This component of the server's `resources.json` ends it as
    FINISHED:ABNORMAL with the reason in its metadata, and submits a job that resumes it, in the name of its
    submitter, as soon as all sites of its last durable round are connected again, or enough of them after a
    minute, so that a site that returns a second later misses no round. Both jobs' metadata (`nvflare job
    meta`) and the server's log name the other job.

    The checkpoints of a completed job are removed; those of any other job stay for a manual resumption.
    """

    def __init__(self) -> None:
        super().__init__()
        self._engine: Any = None
        self._jobs: Any = None
        self._waiting: dict[str, _Waiting] = {}
        self._clones: dict[str, str] = {}
        """Jobs that have been cloned: one whose `continued_by` could not be written is not cloned again."""
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Look for interrupted jobs when the server starts and when a job ends."""
        if event_type == EventType.SYSTEM_START:
            self._engine = fl_ctx.get_engine()
            self._jobs = self._engine.get_component(SystemComponents.JOB_MANAGER)
            self._find_interrupted(fl_ctx)
            threading.Thread(target=self._watch, name="job_continuation", daemon=True).start()
        elif event_type == EventType.JOB_COMPLETED and self._jobs is not None:
            self._handle_end(str(get_event_job_id(fl_ctx)), fl_ctx)
        elif event_type == EventType.SYSTEM_END:
            self._stopped.set()

    def _find_interrupted(self, fl_ctx: FLContext) -> None:
        for job in self._jobs.get_all_jobs(fl_ctx):
            if job.meta.get(JobMetaKey.STATUS.value) in (RunStatus.RUNNING.value, RunStatus.DISPATCHED.value):
                self._interrupt(job, "the server stopped while the job ran", fl_ctx)
            elif _is_to_be_continued(job):
                self._wait_for_sites(job, self._last_checkpoint(job))

    def _handle_end(self, job_id: str, fl_ctx: FLContext) -> None:
        job = self._jobs.get_job(job_id, fl_ctx)
        status = job.meta.get(JobMetaKey.STATUS.value) if job else None
        if status == RunStatus.FINISHED_COMPLETED.value:
            self._forget_rounds(job, fl_ctx)
        elif status == RunStatus.FINISHED_ABNORMAL.value:
            self._interrupt(job, "the job's process at the server was killed", fl_ctx)

    def _interrupt(self, job: Job, reason: str, fl_ctx: FLContext) -> None:
        """Set the final status of a job that has lost its process."""
        self._keep_run_folder(job, fl_ctx)
        checkpoint = self._last_checkpoint(job)
        durable = None if checkpoint is None else checkpoint.number
        interruption: dict[str, Any] = {
            "reason": reason,
            "code": RefusalCode.INTERRUPTED.value,
            "durable_round": durable,
            "continued_by": None,
        }
        fruitless = self._fruitless_interruptions(job, durable, fl_ctx)
        if fruitless >= _FRUITLESS:
            interruption |= {
                "continued_by": NOBODY,
                "code": RefusalCode.NO_PROGRESS.value,
                "reason": f"{reason}; {counted(fruitless, 'time')} in a row without a new durable round, "
                "so it is not "
                f"continued automatically; resume it with resume {job.job_id}",
            }
        self._jobs.update_meta(job.job_id, {INTERRUPTION_META: interruption}, fl_ctx)
        self._jobs.set_status(job.job_id, RunStatus.FINISHED_ABNORMAL, fl_ctx)
        self.log_warning(
            fl_ctx,
            f"job {job.job_id} was interrupted after its durable round {durable}: {interruption['reason']}",
            fire_event=False,
        )
        job.meta[INTERRUPTION_META] = interruption
        if _is_to_be_continued(job):
            self._wait_for_sites(job, checkpoint)

    def _wait_for_sites(self, job: Job, checkpoint: Checkpoint | None) -> None:
        rounds = checkpoint.state.get("record", {}).get("rounds", []) if checkpoint else []
        sites = frozenset(rounds[-1]["sites"]) if rounds else frozenset()
        with self._lock:
            self._waiting[job.job_id] = _Waiting(job, sites, time.monotonic())

    def _watch(self) -> None:
        while not self._stopped.wait(_SECONDS_BETWEEN_LOOKS):
            try:
                with self._engine.new_context() as fl_ctx:
                    self._continue_ready(fl_ctx)
            except Exception as error:  # noqa: BLE001 - the FLARE boundary: this thread must outlive any job
                self.logger.error(
                    f"interrupted jobs could not be continued ({type(error).__name__}: {error})"
                )

    def _continue_ready(self, fl_ctx: FLContext) -> None:
        connected = {client.name for client in self._engine.get_clients()}
        with self._lock:
            ready = [one.job for one in self._waiting.values() if one.is_ready(connected)]
        for job in ready:
            try:
                self._continue(job, fl_ctx)
            except Exception as error:  # noqa: BLE001 - the FLARE boundary: the others are continued
                self.logger.error(
                    f"job {job.job_id} could not be continued ({type(error).__name__}: {error})"
                )
                continue
            with self._lock:
                self._waiting.pop(job.job_id, None)

    def _continue(self, job: Job, fl_ctx: FLContext) -> None:
        meta = {key: job.meta[key] for key in job.meta.keys() & _KEPT_META}
        meta |= {JobMetaKey.CLONED_FROM.value: job.job_id}
        # Without a durable round the new job starts where this one did.
        if job.meta[INTERRUPTION_META]["durable_round"] is not None:
            meta[RESUME_META] = job.job_id
        elif RESUME_META in job.meta:
            meta[RESUME_META] = job.meta[RESUME_META]
        if job.job_id not in self._clones:
            clone = self._jobs.clone(from_jid=job.job_id, meta=meta, fl_ctx=fl_ctx)
            self._clones[job.job_id] = clone[JobMetaKey.JOB_ID.value]
        new = self._clones[job.job_id]
        interruption = {**job.meta[INTERRUPTION_META], "continued_by": new}
        self._jobs.update_meta(job.job_id, {INTERRUPTION_META: interruption}, fl_ctx)
        self.log_info(fl_ctx, f"job {job.job_id} is continued by job {new}", fire_event=False)

    def _last_checkpoint(self, job: Job) -> Checkpoint | None:
        place = CheckpointPlace.find(self._engine.get_workspace())
        if place is None:
            return None
        checkpoint, faults = place.of_job(job.job_id).load_last()
        for fault in faults:
            self.logger.warning(f"job {job.job_id}: {fault}")
        return checkpoint

    def _fruitless_interruptions(self, job: Job, durable: int | None, fl_ctx: FLContext) -> int:
        """Count the interruptions since the last durable round, this one included."""
        count = 1
        for ancestor in self._ancestors(job, fl_ctx):
            interruption = ancestor.meta.get(INTERRUPTION_META)
            if not interruption or interruption["durable_round"] != durable:
                break
            count += 1
        return count

    def _ancestors(self, job: Job, fl_ctx: FLContext) -> Iterator[Job]:
        """Yield the jobs that a job resumes, the last first."""
        seen = {job.job_id}
        while True:
            parent = job.meta.get(RESUME_META) or job.meta.get(JobMetaKey.CLONED_FROM.value)
            if not parent or parent in seen:
                return
            seen.add(parent)
            job = self._jobs.get_job(parent, fl_ctx)
            if job is None:
                return
            yield job

    def _forget_rounds(self, job: Job, fl_ctx: FLContext) -> None:
        place = CheckpointPlace.find(self._engine.get_workspace())
        if place is None:
            return
        interrupted = [one for one in self._ancestors(job, fl_ctx) if INTERRUPTION_META in one.meta]
        for one in (job, *interrupted):
            place.of_job(one.job_id).remove()

    def _keep_run_folder(self, job: Job, fl_ctx: FLContext) -> None:
        """Save the job's run folder in the job store for `download_job`, as FLARE does at a job's end."""
        folder = Path(self._engine.get_workspace().get_run_dir(job.job_id))
        if not folder.is_dir():
            return
        self._jobs.save_workspace(job.job_id, [str(folder)], fl_ctx)
        shutil.rmtree(folder, ignore_errors=True)


def _is_to_be_continued(job: Job) -> bool:
    interruption = job.meta.get(INTERRUPTION_META)
    return bool(interruption) and interruption["continued_by"] is None
