"""Cases of a site without an error, with a file at the site that names those left out."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from consilium.counts import Count
from consilium.data.case import FolderError
from consilium.data.case_format import CaseFormat, Progress
from consilium.data.case_products import CaseProduct
from consilium.data.checks import AcceptedFindings, CheckedCohort, check_cohort, recall_cohort
from consilium.data.cohort import Cohort, read_cohort
from consilium.data.files import write_atomically, write_failure
from consilium.data.finding import Finding
from consilium.data.sources import SourceIndex
from consilium.errors import ConfigurationError, DataError, RefusalCode, SiteRefusal
from consilium.participant.patient_register import PatientRegister
from consilium.participant.site_settings import SiteSettings
from consilium.participant.withdrawals import Withdrawals

_logger = logging.getLogger(__name__)

QUARANTINE_FILE: Final = "quarantine.json"
"""In the site's cache_dir: every case that is left out, by id, and why. It never leaves the site."""


def examine_cases(
    site: SiteSettings,
    case_format: CaseFormat,
    *,
    products: Sequence[CaseProduct[Any]] = (),
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> CheckedCohort:
    """Find and check a site's cases; those with an error are left out, and written down in `QUARANTINE_FILE`.

    Args:
        site: What the hospital decides.
        case_format: How its cases are found and read; see `site_case_format`.
        products: What else to make of the cases without an error, from the same reading.
        progress: Called for each case.
        cancelled: Asked before every case.

    Returns:
        The cases without an error, and everything that was found.

    Raises:
        SiteRefusal: The folder as a whole, or the file of accepted findings, can't be used.
        DataError: The cache can't be written.
        Cancelled: Soon after `cancelled` turned true.
    """
    accepted = read_accepted(site)
    index = SourceIndex(site.cache_dir)
    try:
        cohort = _find_cases(site, case_format, index, progress)
        checked = check_cohort(
            cohort,
            case_format=case_format,
            folder=site.cache_dir,
            index=index,
            products=products,
            accepted=accepted,
            progress=progress,
            cancelled=cancelled,
        )
        _write(checked, site)
    except OSError as error:
        raise DataError(f"The cache {write_failure(site.cache_dir, error)}.") from error
    for finding in checked.findings:
        if finding.case_id is None:
            _logger.warning("%s: %s %s", finding.code.value, finding.detail, finding.code.remedy)
    return checked


def read_site_cohort(
    site: SiteSettings, case_format: CaseFormat, *, index: SourceIndex, progress: Progress | None = None
) -> Cohort:
    """Find a site's cases by names and labels; images are not examined. Those of withdrawn patients are none.

    Args:
        site: What the hospital decides.
        case_format: How its cases are found and read; see `site_case_format`.
        index: What is known of the files.
        progress: Called for each case.

    Raises:
        DataError: The folder as a whole can't be used; a `FolderError` has a code.
        ConfigurationError: What the hospital states about it can't be used.
    """
    withdrawals = Withdrawals.read(site.withdrawn_patients)
    cohort = read_cohort(
        site.dataset,
        case_format=case_format,
        convention=site.label_convention,
        patients_file=site.patients_file,
        file_endings=site.file_endings,
        index=index,
        progress=progress,
    )
    return withdrawals.leave_out(cohort)


def recall_site_cohort(
    cohort: Cohort,
    site: SiteSettings,
    case_format: CaseFormat,
    *,
    index: SourceIndex,
    folders: Sequence[Path],
) -> CheckedCohort | None:
    """Return the result of `examine_cases` from stored results, without writing.

    Args:
        cohort: As `read_site_cohort` returns it.
        site: What the hospital decides.
        case_format: How its cases are found and read; see `site_case_format`.
        index: What is known of the files.
        folders: Where an earlier check may have kept what it found.

    Returns:
        The cases to use; None if a case was not examined yet.

    Raises:
        ConfigurationError: The file of accepted findings can't be used.
    """
    accepted = AcceptedFindings.find(site.accepted_findings, site.state_dir)
    return recall_cohort(cohort, case_format=case_format, folders=folders, index=index, accepted=accepted)


def _find_cases(
    site: SiteSettings, case_format: CaseFormat, index: SourceIndex, progress: Progress | None
) -> Cohort:
    try:
        return read_site_cohort(site, case_format, index=index, progress=progress)
    except (DataError, ConfigurationError) as error:
        why = f"{error.code.summary} ({error.code.value})" if isinstance(error, FolderError) else "see there"
        raise SiteRefusal(
            f"the dataset folder as a whole can't be used: {why}; the site's log says more",
            code=RefusalCode.DATASET,
            details=[str(error)],
        ) from error


def read_accepted(site: SiteSettings) -> AcceptedFindings:
    """Read the findings that the hospital accepts.

    Raises:
        SiteRefusal: The file can't be used.
    """
    try:
        return AcceptedFindings.find(site.accepted_findings, site.state_dir)
    except ConfigurationError as error:
        raise SiteRefusal(
            "its file of accepted findings can't be used; the site's log says why",
            code=RefusalCode.DATASET,
            details=[str(error)],
        ) from error


def left_out_by_code(problems: Iterable[Finding]) -> dict[str, int]:
    """Count cases that are left out by the code of the reason, in the order of the codes: for the site."""
    return dict(sorted(Counter(problem.code.value for problem in problems).items()))


def count_left_out(
    register: PatientRegister,
    problems: Iterable[Finding],
    cohort: Cohort,
    *,
    minimum: int,
    job_minimum: int = 1,
) -> dict[str, Count]:
    """Count the same for others than the hospital: see `PatientRegister.count_by_code`.

    Args:
        register: The site's.
        problems: The cases that are left out.
        cohort: Knows the patients of cases.
        minimum: Fewest patients behind a count, as the hospital decided.
        job_minimum: The same, where a job wants more.
    """
    cases = ((problem.code.value, case_identity(problem.case, cohort)) for problem in problems)
    return register.count_by_code("left out", cases, minimum=minimum, job_minimum=job_minimum)


@dataclass(frozen=True)
class CaseIdentity:
    """Case and patient ids of a case that may be left out."""

    id: str
    patient: str


def case_identity(case_id: str, cohort: Cohort) -> CaseIdentity:
    """Return a case of a cohort with its patient."""
    return CaseIdentity(case_id, cohort.patients.of(case_id))


def _write(checked: CheckedCohort, site: SiteSettings) -> None:
    left_out = [
        {"case": problem.case_id, "code": problem.code.value, "detail": problem.detail}
        for problem in checked.cohort.problems
    ]
    accepted = [{"case": one.case_id, "code": one.code.value} for one in checked.accepted]
    content = {"left_out": left_out, "accepted": accepted, "used": len(checked.cohort.cases)}
    path = site.cache_dir / QUARANTINE_FILE
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode(), durable=False)
