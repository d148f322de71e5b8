"""What a hospital's machine keeps about the site's part in each job, for the people at the hospital."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel, Field, ValidationError

from consilium.counts import counted
from consilium.data.files import private_folder, write_atomically
from consilium.records.bounds import Label, Moment, Reason
from consilium.records.gain import SiteGain
from consilium.report.codes import LEFT_OUT, remedy
from consilium.report.job_status import clock
from consilium.report.records import OutcomeKind

STATUS_FOLDER = Path("consilium/jobs")
"""In the site's workspace: one file for each of the last jobs."""

_KEPT_JOBS = 50
_CHECK = "check"
"""The task of a readiness check; statistics have no rounds either."""
_WAITING = {
    "sent": "sent its answer; waiting for the server",
    "ready": "ready; waiting for the server",
    "checked": "checked; waiting for the server",
}


class Refusal(BaseModel):
    """An answer of this site that does not count."""

    by: Label = Field(description="`site` or `server`.")
    reason: Reason
    task: Label
    round: int = Field(description="From 1; 0 where there are none.")
    time: Moment = Field(description="Unix time in seconds.")


class SiteStatus(BaseModel):
    """This site's part in one job. It stays at the hospital, so it may name folders."""

    job_id: Label
    job: Label
    task: Label = ""
    round: int = Field(default=0, description="From 1; 0 where there are none.")
    rounds: int = 0
    state: str = "started"
    done: int = 0
    total: int = 0
    since: Moment = Field(description="Since when it is in this state; Unix time in seconds.")
    updated: Moment = Field(description="Unix time in seconds.")
    role: str | None = None
    train_cases: int | None = None
    validation_cases: int | None = None
    held_back: int = Field(default=0, description="Cases to validate on that no model is evaluated on.")
    left_out: dict[str, int] = Field(default_factory=dict, description="Cases left out, by code.")
    left_out_file: str | None = Field(default=None, description="The file that names them.")
    rounds_trained: int = 0
    gain: SiteGain | None = Field(
        default=None, description="Over the model that it trained alone; null where nothing was compared."
    )
    patient_gains: list[float] = Field(
        default_factory=list, description="Of the mean Dice of each patient, ascending."
    )
    local_only_folder: str | None = Field(default=None, description="With that model and these patients.")
    refusals: list[Refusal] = Field(default_factory=list)
    log: str
    host: str = Field(default_factory=socket.gethostname)
    process: int = Field(default_factory=os.getpid)
    process_started: float = Field(default_factory=lambda: psutil.Process().create_time())
    ended: Moment | None = Field(default=None, description="Unix time in seconds.")
    outcome: OutcomeKind | None = Field(default=None, description="Of the whole job, as the server said it.")

    @property
    def stopped(self) -> bool:
        """Whether this site's part ended before the server said how the job ended."""
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
        """Write it into a site's workspace, and let go of the oldest ones."""
        folder = private_folder(workspace / STATUS_FOLDER)
        write_atomically(folder / f"{self.job_id}.json", self.model_dump_json().encode(), durable=False)
        if self.ended is not None:
            files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
            for path in files[:-_KEPT_JOBS]:
                path.unlink(missing_ok=True)

    def as_json(self) -> dict[str, Any]:
        """Return it for `json.dumps`."""
        return {**self.model_dump(mode="json"), "lost": self.lost, "stopped": self.stopped}


def read_site_status(workspace: Path) -> list[SiteStatus]:
    """Return what a site's workspace says about its jobs, the last one first."""
    statuses = []
    for path in (workspace / STATUS_FOLDER).glob("*.json"):
        try:
            statuses.append(SiteStatus.model_validate_json(path.read_bytes()))
        except (ValidationError, OSError):
            continue  # of another version, or just removed
    return sorted(statuses, key=lambda one: one.updated, reverse=True)


def describe_site(status: SiteStatus) -> list[str]:
    """Return lines for the people at the hospital."""
    return [
        f"{status.job} {status.job_id}: {_where(status)}",
        *(f"  {line}" for line in _cases(status)),
        *(f"  {line}" for line in _gain(status)),
        *(f"  {line}" for line in _refusals(status)),
        f"  log: {status.log}",
    ]


def _where(status: SiteStatus) -> str:
    place = f"round {status.round} of {status.rounds}; " if status.round else ""
    state = _WAITING.get(status.state, status.state)
    count = f" {status.done} of {status.total}" if status.total else ""
    if status.ended is not None:
        told = {
            "success": "the job ended with success",
            "partial": "the job ended partially: a hospital was missing somewhere",
            "failure": "the job failed",
            None: (
                f"{place}this site's part ended while {state}{count}: the site was stopped, or the job was "
                "aborted, before the server said how it ended"
            ),
        }[status.outcome]
        then = ""
        if status.stopped:
            then = (
                "; if the job still runs, the site takes part again once it is started (startup/start.sh); "
                "the lead data scientist sees how the job stands"
            )
        return f"{told}, {clock(status.ended)}; {_part(status)}{then}"
    if status.lost:
        return (
            f"{place}its process is gone, last seen {clock(status.updated)} ({state}{count}); the server "
            "starts it again while the site is connected"
        )
    return f"{place}{state}{count}, since {clock(status.since)}"


def _part(status: SiteStatus) -> str:
    if status.task == _CHECK:
        return "this site answered the readiness check" if status.state == "checked" else "it did not answer"
    if status.role == "evaluates":
        return "this site evaluated the models and trained none"
    if not status.rounds_trained:
        return "this site trained in no round"
    return f"this site trained in {counted(status.rounds_trained, 'round')}"


def _cases(status: SiteStatus) -> list[str]:
    if status.train_cases is None or status.validation_cases is None:
        return []
    used, left_out = status.train_cases + status.validation_cases, sum(status.left_out.values())
    lines = [
        f"used {used} of {counted(used + status.held_back + left_out, 'case')}: {status.train_cases} to "
        "train, "
        f"{status.validation_cases} to validate"
    ]
    if status.held_back:
        lines.append(
            f"{status.held_back} held back: no model is evaluated on them, as the difference to earlier "
            "scores would be of fewer patients than min_training_patients"
        )
    if left_out:
        lines.append(f"{left_out} left out: see {status.left_out_file}")
    for code, count in status.left_out.items():
        lines.append(f"  {count} {code}: {LEFT_OUT}. {remedy(code)}")
    return lines


def _gain(status: SiteStatus) -> list[str]:
    if status.gain is None:
        return []
    local, federated = status.gain.local["dice"], status.gain.federated["dice"]
    better = sum(gain > 0 for gain in status.patient_gains)
    lines = [
        f"mean Dice {federated:.3f} with the federation's model and {local:.3f} with the one trained here "
        f"alone ({status.gain.gains['dice'].mean:+.3f}); higher for {better} of "
        f"{counted(len(status.patient_gains), 'patient')}, from {status.patient_gains[0]:+.3f} to "
        f"{status.patient_gains[-1]:+.3f}"
    ]
    if status.local_only_folder is not None:
        lines.append(f"  the model trained alone, and each patient's scores: {status.local_only_folder}")
    return lines


def _refusals(status: SiteStatus) -> list[str]:
    """Return each reason once, with when it was last given and how often."""
    alike: dict[tuple[str, str], list[Refusal]] = {}
    for one in status.refusals:
        alike.setdefault((one.by, one.reason), []).append(one)
    lines = []
    for (by, reason), refusals in alike.items():
        last = refusals[-1]
        place = f"round {last.round}" if last.round else last.task
        often = f", {counted(len(refusals), 'time')}" if len(refusals) > 1 else ""
        who = "the server did not use its answer" if by == "server" else "this site declined"
        lines.append(f"{place}, {clock(last.time)}{often}: {who}: {reason}")
    return lines
