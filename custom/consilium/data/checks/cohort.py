"""Checking all cases of a site: in parallel, resumable, and never the same file twice."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import as_completed
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from consilium.data.case import Case, CaseError, CaseProblem
from consilium.data.case_boundary import PASSING
from consilium.data.checks.case import CHECK_VERSION, check_case
from consilium.data.checks.finding import CaseCheck, Finding
from consilium.data.checks.patients import check_declaration, check_patients
from consilium.data.codes import Severity
from consilium.data.cohort import Cohort
from consilium.data.files import private_folder, write_atomically
from consilium.data.labels import LabelConvention
from consilium.data.progress import Progress
from consilium.data.source_key import source_key
from consilium.errors import Cancelled
from consilium.processes import interrupts_held_back, worker_pool

_FOLDER = "findings"


@dataclass(frozen=True)
class CheckedCohort:
    """A cohort that was looked at.

    Args:
        cohort: The cases without any error, and every reason why the others are left out.
        findings: Everything that was found, sorted by case.
        spacing_mm: Voxel size of each case that could be read, by id.
    """

    cohort: Cohort
    findings: tuple[Finding, ...]
    spacing_mm: dict[str, tuple[float, float, float]] = field(default_factory=dict)


def check_cohort(
    cohort: Cohort,
    *,
    modalities: Sequence[str],
    folder: Path,
    workers: int = 1,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> CheckedCohort:
    """Check every case of a site. This is what decides who is trained on; nothing else leaves a case out.

    What was found in a case is kept under a hash of its files' names and content and of the checks' version:
    a repeated or resumed run reads only what is new. With more than one worker, a script must guard its entry
    point with `if __name__ == "__main__":`.

    Args:
        cohort: What `read_cohort` found.
        modalities: Canonical names of the images that are used.
        folder: A folder of the site's own, never the dataset; made if missing.
        workers: Processes. Each holds one case at a time.
        progress: Told about each case.
        cancelled: Asked before every case.

    Returns:
        The cohort without the cases that have an error, and all findings.

    Raises:
        OSError: The folder can't be written.
        Cancelled: `cancelled` turned true. What was found is kept.
    """
    kept = private_folder(folder / _FOLDER)
    jobs = [_Job(case, cohort.convention, tuple(modalities), kept) for case in cohort.cases]
    checks: dict[str, CaseCheck] = {}
    stop = cancelled or (lambda: False)
    with closing(_results(jobs, workers)) as results:
        for done in range(1, len(jobs) + 1):
            if stop():
                raise Cancelled("Checking the cases was cancelled; what was found so far is kept.")
            case_id, check = next(results)
            checks[case_id] = check
            if progress:
                progress(done, len(jobs), "checking cases")
    return _decide(cohort, checks)


def recall_cohort(cohort: Cohort, *, modalities: Sequence[str], folder: Path) -> CheckedCohort | None:
    """What `check_cohort` would return, from what it has kept of the very same files; nothing is written.

    Every file is read once, to know that it is the same.

    Args:
        cohort: What `read_cohort` found.
        modalities: Canonical names of the images that are used.
        folder: Where `check_cohort` keeps what it finds.

    Returns:
        The cohort without the cases that have an error, and all findings; None if a case was not checked yet.
    """
    checks: dict[str, CaseCheck] = {}
    for case in cohort.cases:
        check = _recall(_Job(case, cohort.convention, tuple(modalities), folder / _FOLDER))
        if check is None:
            return None
        checks[case.id] = check
    return _decide(cohort, checks)


@dataclass(frozen=True)
class _Job:
    """One case to check."""

    case: Case
    convention: LabelConvention | None
    modalities: tuple[str, ...]
    folder: Path

    @cached_property
    def kept(self) -> Path:
        """Where the outcome is kept.

        Raises:
            CaseError: A file can't be read.
        """
        case = self.case
        names = sorted({volume.path.name for volume in case.images.values()})
        made_by = ("findings", CHECK_VERSION, case.id, *names, case.label and case.label.path.name)
        return self.folder / f"{source_key(case, self.convention, self.modalities, made_by)}.json"


def _run(job: _Job) -> tuple[str, CaseCheck]:
    """Check a case, or find what was kept of it."""
    check = _recall(job)
    if check is None:
        check = check_case(job.case, job.convention, job.modalities)
        if not any(finding.code in PASSING for finding in check.findings):
            write_atomically(job.kept, check.model_dump_json().encode(), durable=False)
    return job.case.id, check


def _recall(job: _Job) -> CaseCheck | None:
    """What was kept of a case, None if nothing was; a file that can't be read is a finding in any case."""
    try:
        return CaseCheck.model_validate_json(job.kept.read_bytes())
    except CaseError as error:
        return CaseCheck(findings=(Finding.from_problem(error.problem),))
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None


def _results(jobs: Sequence[_Job], workers: int) -> Generator[tuple[str, CaseCheck], None, None]:
    """Check cases as asked for; closed before the end, it waits for those that are being checked alone."""
    if workers == 1 or len(jobs) < 2:
        yield from map(_run, jobs)
        return
    with worker_pool(min(workers, len(jobs))) as pool:
        try:
            with interrupts_held_back():  # the workers start now and inherit it
                futures = [pool.submit(_run, job) for job in jobs]
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _decide(cohort: Cohort, checks: dict[str, CaseCheck]) -> CheckedCohort:
    """Leave out every case with an error; its first one is the reason that is counted."""
    found = [Finding.from_problem(problem) for problem in cohort.problems]
    found += [finding for check in checks.values() for finding in check.findings]
    found += check_patients(cohort.cases, checks)
    found += check_declaration(cohort.patients)
    found.sort(key=lambda finding: finding.case_id or "")
    usable = {case.id for case in cohort.cases}
    reasons: dict[str, CaseProblem] = {}
    for finding in found:
        if finding.severity is Severity.ERROR and finding.case_id in usable:
            reasons.setdefault(finding.case_id or "", finding.problem())
    return CheckedCohort(
        replace(
            cohort,
            cases=tuple(case for case in cohort.cases if case.id not in reasons),
            problems=tuple(
                sorted([*cohort.problems, *reasons.values()], key=lambda problem: problem.case_id)
            ),
        ),
        tuple(found),
        {case_id: check.spacing_mm for case_id, check in checks.items() if check.spacing_mm},
    )
