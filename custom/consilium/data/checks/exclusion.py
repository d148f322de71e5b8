"""Exclusion of cases: the check of all cases of a site, and which of them it leaves out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from consilium.data.case import Case, CaseError
from consilium.data.case_check import CaseCheck
from consilium.data.case_format import CaseChecks, CaseFormat, Progress
from consilium.data.case_products import CaseProduct
from consilium.data.checks.accepted_findings import AcceptedFindings
from consilium.data.checks.kept_findings import KeptFindings
from consilium.data.checks.patients import check_declaration, check_patients
from consilium.data.codes import DataCode
from consilium.data.cohort import Cohort
from consilium.data.cohort_pass import CohortPass, process_cases
from consilium.data.finding import Finding
from consilium.data.problem_code import Severity
from consilium.data.sources import CaseReader, SourceIndex


@dataclass(frozen=True)
class CheckedCohort:
    """A checked cohort.

    Args:
        cohort: The cases without any error, and every reason why the others are left out.
        findings: Everything that was found, sorted by case.
        checks: What is kept of each case, by id, also of those that can't be used.
        made: What else was made from the same reading.
    """

    cohort: Cohort
    findings: tuple[Finding, ...]
    checks: Mapping[str, CaseCheck] = field(default_factory=dict, repr=False)
    made: CohortPass = field(default_factory=CohortPass, repr=False, compare=False)

    @property
    def accepted(self) -> list[Finding]:
        """What was found in cases, and accepted by the hospital."""
        return [finding for finding in self.findings if finding.accepted]


def check_cohort(
    cohort: Cohort,
    *,
    case_format: CaseFormat,
    folder: Path,
    accepted: AcceptedFindings | None = None,
    index: SourceIndex | None = None,
    products: Sequence[CaseProduct[Any]] = (),
    workers: int = 1,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> CheckedCohort:
    """Check every case of a site. Only this check decides which cases are left out.

    What was found in a case is kept under a hash of its files' names and content and of the checks' version:
    a repeated or resumed run reads only what is new. See `process_cases` for when a file is opened at all.

    Args:
        cohort: What `read_cohort` found.
        case_format: How the cases are read, and what is checked.
        folder: A folder of the site's own, never the dataset; made if missing.
        accepted: What the hospital has looked at and accepts: it leaves no case out.
        index: What is known of the files; default: what `folder` holds.
        products: What else to make of the cases without an error, from the same reading.
        workers: Processes. Each holds one case at a time.
        progress: Called for each case.
        cancelled: Asked before every case.

    Returns:
        The cohort without the cases that have an error, and all findings.

    Raises:
        OSError: The folder can't be written.
        Cancelled: `cancelled` turned true. What was found is kept.
    """
    accepted = accepted or AcceptedFindings()
    findings = KeptFindings(folder, case_format, accepted)
    sources = index or SourceIndex(folder)

    def look_at(cases: tuple[Case, ...], *more: CaseProduct[Any]) -> CohortPass:
        return process_cases(
            replace(cohort, cases=cases),
            (findings, *more),
            case_format=case_format,
            index=sources,
            workers=workers,
            progress=progress,
            cancelled=cancelled,
        )

    made, left_out = look_at(cohort.cases, *products), look_at(cohort.left_out)
    found = {**made.of(findings), **left_out.of(findings)}
    failures = {**made.problems, **left_out.problems}
    return replace(_exclude_faulty(cohort, case_format.checks, found, failures, accepted), made=made)


def recall_cohort(
    cohort: Cohort,
    *,
    case_format: CaseFormat,
    folders: Sequence[Path],
    index: SourceIndex,
    accepted: AcceptedFindings | None = None,
) -> CheckedCohort | None:
    """Return the result of `check_cohort` from stored results for unchanged files, without writing.

    Only files that the index does not know are read, to know that they are the same.

    Args:
        cohort: What `read_cohort` found.
        case_format: How the cases are read, and what is checked.
        folders: Where `check_cohort` may have kept what it found; the first that holds all cases counts.
        index: What is known of the files.
        accepted: See `check_cohort`.

    Returns:
        The cohort without the cases that have an error, and all findings; None if a case was not checked yet.
    """
    cases = (*cohort.cases, *cohort.left_out)
    keys: dict[str, str | Finding] = {}
    for folder in folders:
        kept = KeptFindings(folder, case_format)
        found: dict[str, CaseCheck] = {}
        for case in cases:
            if case.id not in keys:
                keys[case.id] = _key_of(case, cohort, case_format, index)
            key = keys[case.id]
            if isinstance(key, Finding):  # a file that can't be read is a finding in any case
                found[case.id] = case_format.checks.check_type(read=(key,))
                continue
            check = kept.recall(key, case, cohort.convention)
            if check is None:
                break
            found[case.id] = check
        else:
            return _exclude_faulty(cohort, case_format.checks, found, {}, accepted or AcceptedFindings())
    return None


def _useless_acceptances(accepted: AcceptedFindings, found: Sequence[Finding]) -> Iterator[Finding]:
    """Lines of the file of accepted findings that accept no current finding, without ids."""
    for code, lines, why in (
        (DataCode.UNUSED_ACCEPTANCE, accepted.unused(found), "nothing of this is found"),
        (
            DataCode.OUTDATED_ACCEPTANCE,
            accepted.outdated(found),
            "this is found, but the files of the case are not those that were looked at",
        ),
    ):
        if lines:
            which = f"Line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines))}"
            detail = f"{which} of the file of accepted findings: {why}."
            yield Finding(code=code, case_id=None, detail=detail)


def _key_of(case: Case, cohort: Cohort, case_format: CaseFormat, index: SourceIndex) -> str | Finding:
    """The key of a case's files, or why they can't be read; frees their content."""
    try:
        return CaseReader(case, index.recall(case)).key(cohort.convention, case_format.name)
    except CaseError as error:
        return error.problem


def _exclude_faulty(
    cohort: Cohort,
    comparing: CaseChecks,
    checks: Mapping[str, CaseCheck],
    failures: Mapping[str, Finding],
    accepted: AcceptedFindings,
) -> CheckedCohort:
    """Leave out every case with an error; its first one is the reason that is counted."""
    seen = [finding for check in checks.values() for finding in check.findings(accepted.apply)]
    # A look at the files says more of the same: each image that is missing.
    known = {(finding.case_id, finding.code) for finding in seen}
    named = [*cohort.problems, *failures.values()]
    found = [finding for finding in named if (finding.case_id, finding.code) not in known]
    between = [
        *cohort.notices,
        *check_patients(cohort.cases, checks, comparing),
        *check_declaration(cohort.patients),
    ]
    files = {case_id: check.files for case_id, check in checks.items()}
    found += [*seen, *(accepted.apply(one.in_files(files.get(one.case_id or "", ""))) for one in between)]
    found += _useless_acceptances(accepted, found)
    found.sort(key=lambda finding: finding.case_id or "")
    usable = {case.id for case in cohort.cases}
    reasons: dict[str, Finding] = {}
    for finding in found:
        if finding.severity is Severity.ERROR and finding.case_id in usable:
            reasons.setdefault(finding.case_id or "", finding)
    return CheckedCohort(
        replace(
            cohort,
            cases=tuple(case for case in cohort.cases if case.id not in reasons),
            problems=tuple(sorted([*cohort.problems, *reasons.values()], key=lambda problem: problem.case)),
        ),
        tuple(found),
        checks,
    )
