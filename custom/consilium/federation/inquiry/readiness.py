"""The server's side of the readiness check."""

from __future__ import annotations

from pathlib import Path

from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.job_def import JobMetaKey
from nvflare.app_common.abstract.fl_model import FLModel
from pydantic import ValidationError

from consilium.counts import counted
from consilium.errors import RefusalCode
from consilium.federation.component_state import Running
from consilium.federation.exchange.answer_form import Absence
from consilium.federation.exchange.site_controller import SiteController
from consilium.federation.message_names import CHECK, REPORT_META
from consilium.federation.rounds.job_admission import readiness_path
from consilium.records.bounds import MissingSite, name_faults
from consilium.records.readiness import READINESS_FILE, ReadinessRecord, SiteReadiness, explain
from consilium.tasks import get_task


class ReadinessCheck(SiteController):
    """Asks every site whether it is ready to train, and records the answers.

    The record goes to the run folder, where it is part of the job's result, and to the server's own folder,
    where training jobs with `admission` look for it.

    Args:
        task: What is to be learned.
        timeout_minutes: How long sites may take; those that are not done by then count as missing.
    """

    def __init__(self, task: str, timeout_minutes: float = 240.0) -> None:
        super().__init__()
        self.task = task
        self.timeout_minutes = timeout_minutes
        self._record = Running[ReadinessRecord]()

    def run(self) -> None:
        """Ask, and write the record."""
        job = self.fl_ctx.get_prop(FLContextKey.JOB_META)[JobMetaKey.JOB_NAME]
        title = get_task(self.task).title
        record = self._record.begin(ReadinessRecord(job=job, task=self.task, title=title))
        sites = self.connected_sites()
        self.ask(CHECK, FLModel(metrics={}), sites, deadline_seconds=self.timeout_minutes * 60)
        for name in sites:
            if name not in record.sites:
                late = f"no answer within {counted(self.timeout_minutes, 'minute')}"
                record.missing.setdefault(name, MissingSite(reason=late, code=RefusalCode.LATE))
        if self.abort_signal.triggered:
            record.reason = "aborted before all sites had answered"
        record.save(Path(self.get_run_dir()) / READINESS_FILE)
        if record.reason is not None:
            return  # it says nothing about the sites: no training job may go by it
        record.save(readiness_path(self.engine.get_workspace(), self.task))
        for name in sites:
            self.info(f"{name}: {explain(name, record)}")
        self.info(f"{len(record.able_to_train)} of {counted(len(sites), 'site')} can train")

    def take(self, site: str, answer: FLModel) -> bool:
        """Keep one site's answer."""
        if answer.params or answer.metrics:
            return self.reject(site, "it sent an update or scores that were not requested")
        try:
            readiness = SiteReadiness.model_validate(answer.meta.get(REPORT_META))
        except ValidationError as error:
            return self.reject(
                site, f"its answer can't be read; wrong is {name_faults(error, SiteReadiness)}"
            )
        readiness.keep_known_words(get_task(self.task))
        self._record.value.sites[site] = readiness
        return True

    def note_refusal(self, site: str, absence: Absence) -> None:
        """Keep why a site has no answer."""
        self._record.value.missing[site] = MissingSite(reason=absence.reason, code=absence.code)
