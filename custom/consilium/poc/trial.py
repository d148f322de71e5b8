"""A job in a proof of concept, from its submission to the report."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consilium.data.output_claim import claim_folder
from consilium.default_task import DEFAULT
from consilium.errors import ConfigurationError, RefusalCode
from consilium.learning.model_file import LAST_MODEL
from consilium.learning.model_store import ModelStore
from consilium.poc.command import PocError
from consilium.poc.federation import Poc
from consilium.poc.guardian import ended_with_this_process
from consilium.poc.project import Project
from consilium.prediction.evaluated_models import place_models, require_models
from consilium.recipes.exported_job import (
    ExportedJob,
    job_kind,
    job_task,
    read_exported_evaluation,
    read_exported_job,
)
from consilium.records.federation import FederationRecord
from consilium.records.job_record import JobRecord, find_record, load_record
from consilium.records.outcome import Outcome, determine_outcome
from consilium.records.progress import EndReason
from consilium.report.training.build import build_report
from consilium.report.training.patients import PatientPicture, draw_patients, prepare_sites
from consilium.report.write import write_report
from consilium.simulation.demo import make_hospitals
from consilium.simulation.display import Display
from consilium.simulation.eligibility import require_enough_sites
from consilium.tasks.registry import synthetic_cohort

_COMPLETED: Final = "FINISHED:COMPLETED"
"""FLARE's status of a job that ran to its end."""


@dataclass(frozen=True)
class TrialResult:
    """Outcome of a job.

    Attributes:
        job_id: FLARE's id.
        record: What the server wrote down.
        outcome: Success, partial or failure, with reasons.
        page: The report.
    """

    job_id: str
    record: JobRecord
    outcome: Outcome
    page: Path


def claim_poc(folder: Path) -> AbstractContextManager[Path]:
    """Keep the folder of a POC for it while it starts: `up` removes what an earlier one left there.

    Raises:
        ConfigurationError: It holds something else, or another command starts a POC in it.
    """
    return claim_folder(folder, "--out", "a POC", ("project.yml", "flare", "home"))


def check_hospitals(project: Project, folder: Path | None, task: str = DEFAULT) -> None:
    """Check that every site has a hospital, before anything is made.

    Args:
        project: Who takes part.
        folder: A folder with a subfolder of cases for every site; None for synthetic hospitals.
        task: Whose synthetic hospitals.

    Raises:
        ConfigurationError: If a folder is missing, or a site is none of the demo's hospitals.
    """
    if folder is not None:
        if not folder.is_dir():
            raise ConfigurationError(
                f"there is no folder {folder}; --hospitals names one that has a subfolder of cases for every "
                f"site: {', '.join(project.sites)}"
            )
        missing = [name for name in project.sites if not (folder / name).is_dir()]
        if missing:
            raise ConfigurationError(
                f"{folder} has no subfolder {', '.join(missing)}; it needs one for every site of the "
                f"project: {', '.join(project.sites)}"
            )
        return
    known = synthetic_cohort(task).hospitals
    unknown = project.sites.keys() - set(known)
    if unknown:
        raise ConfigurationError(
            f"there are no synthetic patients for {', '.join(sorted(unknown))}; known: {', '.join(known)}. "
            "Give a folder with cases for every site: --hospitals DIR"
        )


def find_hospitals(
    project: Project, folder: Path | None, out: Path, display: Display, task: str = DEFAULT
) -> dict[str, Path]:
    """Return the sites' folders: those in a given folder, or synthetic ones, made where they are missing.

    Args:
        project: See `check_hospitals`.
        folder: See `check_hospitals`.
        out: Where synthetic hospitals go.
        display: Where progress is shown.
        task: See `check_hospitals`.
    """
    if folder is not None:
        return {name: folder / name for name in project.sites}
    return make_hospitals(synthetic_cohort(task), out / "hospitals", display, only=project.sites)


def start(poc: Poc, project: Project, hospitals: Mapping[str, Path], display: Display) -> None:
    """Start a POC.

    Raises:
        ConsiliumError: If it can't be started; nothing runs on then.
    """
    display.show("starting the server and the sites")
    local = poc.up(project, hospitals)
    if local.ports != project.ports:
        display.say(
            f"port {', '.join(map(str, project.ports))} is in use: the server listens on "
            f"{', '.join(map(str, local.ports))}"
        )
    display.say(f"up: {local.server} and {', '.join(local.sites)}, in {poc.kits}")


def run_job(poc: Poc, job: Path, display: Display) -> TrialResult:
    """Submit a job, show its progress, download its result, write the report.

    Raises:
        ConfigurationError: If the folder is not one of Consilium's jobs, or a model that it starts from is
            not beside it; nothing was submitted then.
        PocError: If the POC does not run, the job is rejected, or leaves no result.
    """
    training = _read_training(job)
    if training is not None:
        for note in require_enough_sites(poc.sites(), training, display.show, keep=False):
            display.say(f"  {note}")
        if training.initial is not None:
            server = poc.kits / poc.project().server
            training.initial.place(ModelStore.beside(job), ModelStore.of_server(server / "local"))
    if job_kind(job) == "evaluation":
        kit = ModelStore.of_server(poc.kits / poc.project().server / "local")
        models = read_exported_evaluation(job).models
        require_models(models)
        place_models(models, ModelStore.beside(job), kit)
    started = time.monotonic()
    job_id = poc.submit(job)
    display.say(f"submitted {job.name} as {job_id}")
    last = poc.wait(job_id, display.show)
    if last.job_id != job_id:
        display.say(f"{job_id} was interrupted; {last.job_id} continued it")
    job_id, status = last.job_id, last.status
    seconds = time.monotonic() - started
    display.say(f"{job_id}: {status}")
    downloaded = poc.download(job_id)
    try:
        record = load_record(downloaded)
    except ConfigurationError as error:
        raise PocError(f"job {job_id} ended with {status} and left no record: {error}") from error
    outcome = determine_outcome(record)
    if outcome.kind != "failure" and status != _COMPLETED:
        ended = EndReason(text=f"FLARE ended the job with {status}", code=RefusalCode.JOB_FAILED)
        outcome = Outcome("failure", (ended, *outcome.reasons))
    report, model = downloaded / "report", find_record(downloaded).parent / LAST_MODEL
    if training is None or not isinstance(record, FederationRecord):
        return TrialResult(job_id, record, outcome, write_report(report, record))
    patients: dict[str, PatientPicture | None] = {}
    if model.exists() and outcome.kind != "failure":
        display.show("drawing one patient of every hospital")
        task = training.learning.task
        data = prepare_sites(
            {name: site.for_task(task) for name, site in poc.sites().items()}, training.learning
        )
        patients = draw_patients(data, training.learning, model, report)
    page = build_report(report, record, baselines=None, seconds={"federated": seconds}, patients=patients)
    return TrialResult(job_id, record, outcome, page)


def _read_training(job: Path) -> ExportedJob | None:
    """Check a job before anything starts; returns its training settings, None without training."""
    return read_exported_job(job) if job_kind(job) == "training" else None


def run_all(poc: Poc, project: Project, job: Path, hospitals: Path | None, display: Display) -> TrialResult:
    """Make the cohort, start everything, run a job, stop everything whatever happens.

    Raises:
        ConsiliumError: If a step can't be done.
    """
    task = job_task(job)
    check_hospitals(project, hospitals, task)
    with claim_poc(poc.folder), ended_with_this_process(poc.folder):
        folders = find_hospitals(project, hospitals, poc.folder, display, task)
        start(poc, project, folders, display)
        try:
            ended = run_job(poc, job, display)
            display.show("stopping the server and the sites")
            poc.down()
        finally:
            poc.end()
    display.say("down: nothing runs on")
    return ended
