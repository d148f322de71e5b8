"""Run of the checks of one case: in groups, and within the error boundary around a case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from consilium.data.case import Case, CaseError
from consilium.data.case_boundary import case_boundary
from consilium.data.case_check import CaseCheck
from consilium.data.finding import Finding
from consilium.data.sources import read_source

if TYPE_CHECKING:
    from consilium.data.case_format import CaseFormat
    from consilium.data.case_preparation import Examination

ViewT = TypeVar("ViewT")


def check_case(case: Case, convention: str | None, case_format: CaseFormat) -> CaseCheck:
    """Read a case and run all checks on it; nothing is kept.

    Args:
        case: The case.
        convention: What its target's values mean.
        case_format: How it is read, and what is checked.
    """
    try:
        examination = case_format.examine(case, convention, lambda path: read_source(path).data)
    except CaseError as error:
        return case_format.checks.check_type(read=(error.problem,))
    return check_examined(case, convention, case_format, examination)


def check_examined(
    case: Case, convention: str | None, case_format: CaseFormat, examination: Examination[Any]
) -> CaseCheck:
    """Run all checks on a case that was read.

    Args:
        case: The case.
        convention: What its target's values mean.
        case_format: What is checked.
        examination: What reading it found.

    Returns:
        What was found; a check that fails is a finding as well, and the case is left out.
    """
    checks = case_format.checks
    try:
        with case_boundary(case.id, case.place, "checked"):
            return checks.check(case, convention, case_format.inputs, examination)
    except CaseError as error:
        return checks.check_type(read=(error.problem,))


def run_groups(
    groups: Sequence[Sequence[Callable[[ViewT], Iterator[Finding]]]], views: Sequence[ViewT]
) -> tuple[tuple[Finding, ...], ...]:
    """Run checks in groups, each of which presumes that those before it cast no doubt on the case.

    Args:
        groups: The checks.
        views: The case as they see it, or its parts.

    Returns:
        What each group found; see `CaseCheck.findings`.
    """
    return tuple(
        tuple(finding for view in views for check in group for finding in check(view)) for group in groups
    )
