"""Status of a site's part in each job, for the people at the hospital."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel, Field, model_validator
from typing_extensions import Self

from consilium.data.files import private_folder, write_atomically
from consilium.errors import ConfigurationError
from consilium.records.bounds import (
    CaseCount,
    Code,
    Label,
    Moment,
    Reason,
    RoundNumber,
    Score,
    StepCount,
)
from consilium.records.federation import OutcomeKind
from consilium.records.gain import SiteGain
from consilium.records.reading import read_record
from consilium.records.remedies import remedy_for
from consilium.tasks.metrics import MetricSet

STATUS_FOLDER = Path("consilium/jobs")
"""In the site's workspace: one file for each of the last jobs."""

_KEPT_JOBS = 50


class Refusal(BaseModel):
    """An answer of this site that does not count."""

    by: Label = Field(description="`site` or `server`.")
    reason: Reason
    code: Code = None
    task: Label
    round: RoundNumber = Field(description="From 1; 0 where there are none.")
    time: Moment = Field(description="Unix time in seconds.")


class SiteStatus(BaseModel):
    """This site's part in one job. It stays at the hospital, so it may name folders."""

    job_id: Label
    job: Label
    task: Label = ""
    round: RoundNumber = Field(default=0, description="From 1; 0 where there are none.")
    rounds: RoundNumber = 0
    state: Label = "started"
    done: StepCount = 0
    total: StepCount = 0
    since: Moment = Field(description="Since when it is in this state; Unix time in seconds.")
    updated: Moment = Field(description="Unix time in seconds.")
    role: Label | None = None
    train_cases: CaseCount | None = None
    validation_cases: CaseCount | None = None
    test_cases: CaseCount | None = None
    held_back: CaseCount = Field(
        default=0, description="Cases to validate or test on that no model is scored on."
    )
    trained_before: CaseCount = Field(
        default=0, description="Of a site that only evaluates: cases of patients that it trained on before."
    )
    left_out: dict[Label, CaseCount] = Field(default_factory=dict, description="Cases left out, by code.")
    left_out_file: str | None = Field(default=None, description="The file that names them.")
    rounds_trained: RoundNumber = 0
    gain: SiteGain | None = Field(
        default=None, description="Over the model that it trained alone; null where nothing was compared."
    )
    patient_gains: list[Score] = Field(
        default_factory=list,
        description="Of the key metric of each patient, ascending; empty where no single patient has one.",
    )
    metrics: MetricSet | None = Field(default=None, description="What the scores of the gain are.")
    local_only_folder: str | None = Field(default=None, description="With that model and these patients.")
    refusals: list[Refusal] = Field(default_factory=list)
    log: str
    host: str = Field(default_factory=socket.gethostname)
    process: int = Field(default_factory=os.getpid, ge=1, lt=2**31)
    process_started: Moment = Field(default_factory=lambda: psutil.Process().create_time())
    ended: Moment | None = Field(default=None, description="Unix time in seconds.")
    outcome: OutcomeKind | None = Field(default=None, description="Of the whole job, as the server said it.")

    @model_validator(mode="after")
    def _check_gain(self) -> Self:
        if self.gain is not None and self.metrics is not None:
            parts = (self.gain.local, self.gain.federated, self.gain.gains)
            if not all(self.metrics.key in part for part in parts):
                raise ValueError("the gain lacks the key metric")
        return self

    @property
    def stopped(self) -> bool:
        """Whether this site's part ended before the server reported the job's outcome."""
        return self.ended is not None and self.outcome is None

    @property
    def lost(self) -> bool:
        """Whether the job's process is gone without having ended; known on the machine that it ran on."""
        if self.ended is not None or self.host != socket.gethostname():
            return False
        try:
            process = psutil.Process(self.process)
            is_another = abs(process.create_time() - self.process_started) > 1
            return is_another or bool(process.status() == psutil.STATUS_ZOMBIE)  # ended, not collected yet
        except psutil.NoSuchProcess:
            return True

    def save(self, workspace: Path) -> None:
        """Write it into a site's workspace, and remove the oldest ones."""
        folder = private_folder(workspace / STATUS_FOLDER)
        write_atomically(folder / f"{self.job_id}.json", self.model_dump_json().encode(), durable=False)
        if self.ended is not None:
            files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
            for path in files[:-_KEPT_JOBS]:
                path.unlink(missing_ok=True)

    def as_json(self) -> dict[str, Any]:
        """Return it for `json.dumps`."""
        content = {**self.model_dump(mode="json"), "lost": self.lost, "stopped": self.stopped}
        for refusal, shown in zip(self.refusals, content["refusals"], strict=True):
            shown["remedy"] = remedy_for(refusal.code, refusal.task)
        return content


def read_site_status(workspace: Path) -> list[SiteStatus]:
    """Return the status of a site's jobs from its workspace, the last one first."""
    statuses = []
    for path in (workspace / STATUS_FOLDER).glob("*.json"):
        try:
            statuses.append(read_record(SiteStatus, path))
        except (ConfigurationError, OSError):
            continue  # of another version, damaged, or just removed
    return sorted(statuses, key=lambda one: one.updated, reverse=True)
