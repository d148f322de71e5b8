"""Journal of a site's part in a job, for the people at the hospital."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from nvflare.apis.fl_constant import FLContextKey, WorkspaceConstants
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import JobMetaKey
from nvflare.apis.shareable import ReturnCode, Shareable, make_reply
from nvflare.apis.workspace import Workspace
from nvflare.app_common.app_constant import AppConstants

from consilium.errors import RefusalCode
from consilium.federation.message_names import TRAIN
from consilium.federation.monitoring.job_outcomes import JOB_ENDED_TOPIC
from consilium.federation.monitoring.published_metrics import SITE_METRICS, MetricsPublisher
from consilium.federation.site.training_folder import LOCAL_ONLY_FOLDER
from consilium.participant.site_settings import SiteSettings
from consilium.records.gain import SiteGain
from consilium.records.site_status import Refusal, SiteStatus, read_site_status
from consilium.tasks.metrics import MetricSet

if TYPE_CHECKING:
    from consilium.participant.site_data import SiteData

_KEPT_REFUSALS = 20


class SiteJournal:
    """Records what this site does in a job, so that `consilium status --site KIT` can show it.

    The same goes as metrics to the hospital's own monitoring, if its `resources.json` names one.

    The file is read at the hospital, with or without a network, while the job runs and afterwards. It never
    leaves the site.
    """

    def __init__(self) -> None:
        self._status: SiteStatus | None = None
        self._workspace = Path()
        self._metrics: MetricsPublisher | None = None

    def begin(self, fl_ctx: FLContext) -> None:
        """Open the record of a job, and listen for the server's message about its outcome.

        A restarted process continues the record of the one before.
        """
        engine, job_id, now = fl_ctx.get_engine(), str(fl_ctx.get_job_id()), time.time()
        workspace = engine.get_workspace()
        self._workspace = Path(workspace.get_root_dir())
        self._status = SiteStatus(
            job_id=job_id,
            job=(fl_ctx.get_prop(FLContextKey.JOB_META) or {}).get(JobMetaKey.JOB_NAME.value, ""),
            log=str(_log_file(workspace, job_id)),
            since=now,
            updated=now,
        )
        before = [one for one in read_site_status(self._workspace) if one.job_id == job_id]
        for one in before:
            self._status.rounds_trained, self._status.refusals = one.rounds_trained, one.refusals
        self._save()
        self._metrics = MetricsPublisher(fl_ctx, SITE_METRICS)
        self._publish("own_running", 1)
        engine.register_aux_message_handler(topic=JOB_ENDED_TOPIC, message_handle_func=self._hear)

    def start_task(self, task: str, shareable: Shareable) -> None:
        """Record a task."""
        if self._status is None:
            return
        index, rounds = (
            shareable.get_header(name) for name in (AppConstants.CURRENT_ROUND, AppConstants.NUM_ROUNDS)
        )
        self._status.task = task
        if task == TRAIN and isinstance(index, int) and isinstance(rounds, int):
            self._status.round, self._status.rounds = index + 1, rounds
            self._publish("own_round", index + 1)
        self._publish("own_tasks", 1, task=task)
        self._save()

    def note_state(self, state: str, done: int, total: int) -> None:
        """Record the site's state."""
        if self._status is None:
            return
        if state != self._status.state:
            self._status.state, self._status.since = state, time.time()
        self._status.done, self._status.total = done, total
        self._save()

    def note_cases(self, data: SiteData, site: SiteSettings) -> None:
        """Record which of the site's cases are used."""
        if self._status is None:
            return
        self._status.role = data.role
        self._status.train_cases, self._status.validation_cases = len(data.train), len(data.validation)
        self._status.test_cases, self._status.trained_before = len(data.test), data.trained_before
        self._status.held_back = data.held_back
        codes = Counter(problem.code.value for problem in data.problems)
        self._status.left_out = dict(sorted(codes.items()))
        from consilium.participant.site_cases import QUARANTINE_FILE  # it reads images: see SiteExecutor

        self._status.left_out_file = str(site.cache_dir / QUARANTINE_FILE)
        self._publish("own_cases_used", len(data.train) + len(data.evaluated_cases))
        self._publish("own_cases_left_out", len(data.problems))
        self._save()

    def note_training(self) -> None:
        """Count a trained round."""
        if self._status is not None:
            self._status.rounds_trained += 1

    def note_gain(
        self, gain: SiteGain | None, patients: list[float], metrics: MetricSet, memory: Path | None
    ) -> None:
        """Record the hospital's gain over its local-only model.

        Args:
            gain: As the server receives it.
            patients: The gain of each patient: for the people at the hospital.
            metrics: The task's.
            memory: Of the training, with the local-only model in it; None where nothing is kept.
        """
        if self._status is None:
            return
        self._status.gain, self._status.patient_gains, self._status.metrics = gain, patients, metrics
        self._status.local_only_folder = None if memory is None else str(memory / LOCAL_ONLY_FOLDER)
        self._save()

    def note_refusal(self, by: str, reason: str, code: RefusalCode | str | None = None) -> None:
        """Record an answer that does not count.

        Args:
            by: `site` where this site declined or failed, `server` where the server rejected its answer.
            reason: As the other side sees it.
            code: The kind of reason.
        """
        if self._status is None:
            return
        refusal = Refusal(
            by=by,
            reason=reason,
            code=code,
            task=self._status.task,
            round=self._status.round,
            time=time.time(),
        )
        self._status.refusals = [*self._status.refusals, refusal][-_KEPT_REFUSALS:]
        self._publish("own_refusals", 1, by=by)
        self._save()

    def end(self) -> None:
        """Close the record."""
        if self._status is not None and self._status.ended is None:
            self._status.ended = time.time()
            self._publish("own_running", 0)
            self._save()

    def _hear(self, topic: str, request: Shareable, fl_ctx: FLContext) -> Shareable:
        outcome = request.get("outcome")
        if self._status is not None and outcome in ("success", "partial", "failure"):
            self._status.outcome = outcome
            self._save()
        return make_reply(ReturnCode.OK)

    def _publish(self, name: str, value: float, **tags: str) -> None:
        if self._metrics is not None:
            self._metrics.publish(name, value, **tags)

    def _save(self) -> None:
        if self._status is not None:
            self._status.updated = time.time()
            self._status.save(self._workspace)


def _log_file(workspace: Workspace, job_id: str) -> Path:
    """Return the job's log; FLARE's simulator keeps it in the site's workspace."""
    of_job, of_site = (
        Path(folder) / str(WorkspaceConstants.LOG_FILE_NAME)
        for folder in (workspace.get_log_root(job_id), workspace.get_root_dir())
    )
    return of_job if of_job.exists() else of_site
