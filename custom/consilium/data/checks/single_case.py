"""Checks of one case: what a problem has to bring, and the boundary in which its checks run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pydantic import BaseModel

from consilium.data.case import Case, CaseError
from consilium.data.case_boundary import case_boundary
from consilium.data.case_check import CaseCheck
from consilium.data.finding import Finding
from consilium.data.sources import read_source

if TYPE_CHECKING:
    from consilium.data.case_format import CaseFormat, Examination

ViewT = TypeVar("ViewT")


class CaseChecks(Protocol):
    """What a problem checks in a case that was read, and between two of them.

    It travels to the processes that read cases.
    """

    @property
    def version(self) -> str:
        """Another one where the same files would give other findings."""

    @property
    def check_type(self) -> type[CaseCheck]:
        """What is kept of a case: `CaseCheck`, or a subclass with facts of the problem's own."""

    def check(
        self, case: Case, convention: str | None, inputs: Sequence[str], examination: Examination[Any]
    ) -> CaseCheck:
        """Run all checks on a case that was read.

        Args:
            case: The case.
            convention: What its target's values mean.
            inputs: Names of the images to check.
            examination: What reading it found.
        """

    def against_job(self, checks: Mapping[str, CaseCheck], learning: BaseModel) -> Iterator[Finding]:
        """Find what is fine of itself, but not as a job wants it, such as another voxel size.

        Args:
            checks: What was found in each case alone, by id.
            learning: What the job decides about learning.
        """

    def alike(self, appearances: Mapping[str, str]) -> Iterator[tuple[str, str, float]]:
        """Find cases that may show one patient.

        Args:
            appearances: Case id to `CaseCheck.appearance`.

        Yields:
            Two case ids, and how alike they are, 0 to 1.
        """

    def same(self, one: str, other: str) -> bool:
        """Return whether two appearances can only be of one examination."""


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
