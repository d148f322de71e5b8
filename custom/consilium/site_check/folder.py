"""Check of a dataset folder without a kit, as `consilium check` does it."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from consilium.counts import counted
from consilium.data.case import FolderError
from consilium.data.case_format import Progress
from consilium.data.checks import AcceptedFindings, CheckedCohort, Finding, check_cohort
from consilium.data.codes import DataCode
from consilium.data.cohort import read_cohort
from consilium.data.files import require_outside
from consilium.data.sources import SourceIndex
from consilium.errors import ConfigurationError
from consilium.learning.estimate import GIB, disk_need
from consilium.participant.case_admission import (
    missing_inputs_refusal,
    missing_targets_refusal,
    site_case_format,
)
from consilium.participant.site_settings import SiteSettings
from consilium.report.data_check.page import DataCheck
from consilium.site_check.admitting_jobs import describe_admitting_jobs
from consilium.site_check.job import SiteJob
from consilium.tasks import get_task
from consilium.tasks.partial_labels import check_missing_targets


def default_state() -> Path:
    """Where findings are kept between runs: a folder below the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "consilium" / "check"


def require_writable_output(path: Path, folder: Path, option: str) -> None:
    """Raise if an output file can't be written, before hours are spent on its content.

    Raises:
        ConfigurationError: `path` is in `folder`, is a folder, or its folder is missing or not writable.
    """
    require_outside(path, folder, option)
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigurationError(
            f"{option} {path} can't be written; name a file in a folder that exists and that this account "
            "may write to."
        )


def check_folder(
    folder: Path,
    job: SiteJob,
    *,
    convention: str | None = None,
    patients_file: Path | None = None,
    file_endings: Mapping[str, Sequence[str]] | None = None,
    missing_inputs: Sequence[str] = (),
    missing_targets: Sequence[str] = (),
    accepted: Path | None = None,
    state: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> DataCheck:
    """Check a dataset folder as a site's training would, for a job that is to train on it.

    Example:
        ```python
        from pathlib import Path

        from consilium import check_folder, load_site_job

        found = check_folder(Path("/data/north"), load_site_job("brain_tumor_fedavg"), workers=2)
        print(found.verdict, found.counts)
        for group in found.groups:
            print(group.code.value, len(group.cases), group.code.remedy)
        ```

    Args:
        folder: The dataset folder; it is only read.
        job: For the task, its settings and the size of the cache.
        convention: What label values mean; default: found from names and values.
        patients_file: Which cases are of one patient; default: see `read_cohort`.
        file_endings: Endings of file names to read beside the known ones.
        missing_inputs: Images that the hospital doesn't acquire: cases without them are used.
        missing_targets: Targets that the hospital's labels lack: it trains the others.
        accepted: A file of findings that the hospital accepts, see `AcceptedFindings`.
        state: A folder outside the dataset, where findings are kept; the cache is taken to be on its disk.
            Default: below the user's cache folder.
        workers: Processes.
        progress: Called with each case.

    Raises:
        ConfigurationError: An image or a target is none of the task's, `state` is in the dataset or can't be
            written, or `accepted` can't be used.
    """
    state = state or default_state()
    require_outside(state, folder, "--state")
    accepted_findings = AcceptedFindings.read(accepted)
    task = get_task(job.learning.task)
    check_missing_targets(task.targets, missing_targets)
    if missing_inputs:
        task.cases.lacking(missing_inputs)  # checks the names
    site = SiteSettings(dataset=folder).model_copy(
        update={"missing_inputs": tuple(missing_inputs), "missing_targets": tuple(missing_targets)}
    )
    missing = site.missing_targets_of(task)
    case_format = site_case_format(site, task, job.learning)
    index = SourceIndex(state)
    try:
        cohort = read_cohort(
            folder,
            case_format=case_format,
            convention=convention,
            patients_file=patients_file,
            index=index,
            file_endings=file_endings,
            progress=progress,
        )
        checked = check_cohort(
            cohort,
            case_format=case_format,
            folder=state,
            accepted=accepted_findings,
            index=index,
            workers=workers,
            progress=progress,
        )
    except FolderError as error:
        finding = Finding(code=error.code, case_id=None, detail=str(error))
        return DataCheck(folder, job.name, task.name, (finding,), None, missing)
    except OSError as error:
        raise ConfigurationError(
            f"Findings can't be kept in {state} ({error}). Name another folder with --state."
        ) from error
    against_job = case_format.checks.against_job(checked.checks, job.learning)
    whole = (*_declined(checked, site, job), *_whole_folder(checked, job, state))
    findings = (*whole, *checked.findings, *against_job)
    return DataCheck(folder, job.name, task.name, findings, checked, missing)


def _declined(checked: CheckedCohort, site: SiteSettings, job: SiteJob) -> Iterator[Finding]:
    """Find whether a site would decline the job for what it lacks, with the jobs that it would not."""
    refusal = missing_targets_refusal(site, job.learning, job.algorithm) or missing_inputs_refusal(
        checked, site, job.learning
    )
    if refusal is not None:
        detail = (
            f"a site with default settings would decline {job.name}: {refusal.public_reason}. "
            f"{describe_admitting_jobs(refusal, site, job.learning)}"
        )
        yield Finding(code=DataCode.JOB_DECLINED, case_id=None, detail=detail)


def _whole_folder(checked: CheckedCohort, job: SiteJob, state: Path) -> Iterator[Finding]:
    cases = checked.cohort.cases
    if not cases:
        yield Finding(code=DataCode.NO_USABLE_CASE, case_id=None, detail="No case can be used as it is.")
    elif not any(case.labeled for case in cases):
        detail = f"{counted(len(cases), 'case')} can be used, none of them has a label."
        if checked.cohort.labels:
            detail += f" {checked.cohort.labels} that are left out have one."
        yield Finding(code=DataCode.NO_LABELED_CASE, case_id=None, detail=detail)
    needed, free = disk_need(cases, job.learning, checked=checked).cache, shutil.disk_usage(state).free
    if free < needed:
        detail = f"{free / GIB:.1f} GiB are free, up to {math.ceil(needed / GIB)} GiB are needed (estimate)."
        yield Finding(code=DataCode.DISK_TOO_SMALL, case_id=None, detail=detail)
