"""One run over the cases of an input: check, prepare and process them, some at a time; resumable."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from consilium.counts import counted
from consilium.data.cache import CaseCache
from consilium.data.case import Case, CaseError
from consilium.data.case_check import CaseCheck
from consilium.data.checks.accepted_findings import AcceptedFindings
from consilium.data.checks.kept_findings import KeptFindings
from consilium.data.checks.patients import check_patients
from consilium.data.cohort import Cohort
from consilium.data.cohort_pass import process_cases
from consilium.data.files import private_folder, write_failure
from consilium.data.finding import Finding
from consilium.data.problem_code import Severity
from consilium.data.sources import CaseReader, SourceIndex
from consilium.errors import ConfigurationError
from consilium.prediction.case_work import CaseWork
from consilium.process_limits import available_cores

if TYPE_CHECKING:
    from consilium.data.cached_case import CachedCase

RunProgress: TypeAlias = Callable[[int, int], None]
"""Called with the number of cases done and of all cases."""

_CASES_WORTH_A_PROCESS: Final = 4
"""A process takes some seconds to start, as long as two cases take to be read and checked."""

_CASES_AT_A_TIME: Final = 8
"""Cases for each process that reads, prepared before they are predicted: the disk holds no more of them."""


@dataclass(frozen=True)
class FinishedRun:
    """The cases of a run. Ids and findings are about patients: they stay where the images are.

    Attributes:
        new: The cases that were processed now.
        kept: The cases that were processed before, from the same files with the same model and settings.
        left_out: The cases that could not be processed.
        findings: What the checks found, by case.
        incomplete: The images of cases that lack some -> how many such cases.
    """

    new: tuple[str, ...] = field(repr=False)
    kept: tuple[str, ...] = field(repr=False)
    left_out: tuple[str, ...] = field(repr=False)
    findings: tuple[Finding, ...] = field(repr=False)
    incomplete: Mapping[tuple[str, ...], int]

    @property
    def total(self) -> int:
        """How many cases there are."""
        return len(self.new) + len(self.kept) + len(self.left_out)


class CaseRun:
    """A run over the cases of an input.

    Args:
        work: What is done with each.
        accepted: Findings that the hospital accepts.
        index: What is known of the files.
        comparing: Whether cases are compared with each other, so that no patient counts twice.
    """

    def __init__(
        self, work: CaseWork, accepted: AcceptedFindings, index: SourceIndex, *, comparing: bool = False
    ) -> None:
        self._work, self._accepted, self._comparing = work, accepted, comparing
        self._model, self._folder, self._index = work.model, work.folder, index
        self._format = work.model.case_format
        self._findings = KeptFindings(self._folder.state, self._format, accepted)
        self._cache = CaseCache(
            self._folder.prepared,
            case_format=self._format,
            settings=self._format.preparation(self._model.learning),
        )
        self._checks: dict[str, CaseCheck] = {}
        self._problems: dict[str, Finding] = {}
        self._shortfalls: list[Finding] = []

    def process(self, cohort: Cohort, workers: int | None, progress: RunProgress) -> FinishedRun:
        """Process the cases of a cohort, some at a time.

        Args:
            cohort: The cases.
            workers: Processes that read and check; default: one for every four cases, at most one a core.
            progress: Called for each case.

        Raises:
            ConfigurationError: The output folder can't be written.
        """
        with failures_to_write(self._folder.path):
            private_folder(self._folder.state)
            try:
                return self._process(cohort, workers, progress)
            finally:
                shutil.rmtree(self._folder.prepared, ignore_errors=True)

    def _process(self, cohort: Cohort, workers: int | None, progress: RunProgress) -> FinishedRun:
        total = len(cohort.cases)
        kept = [case.id for case in cohort.cases if self._is_finished(case, cohort.convention)]
        known = set(kept)
        new = [case for case in cohort.cases if case.id not in known]
        processed: list[str] = []
        progress(len(kept), total)
        workers = workers or max(1, min(available_cores(), len(new) // _CASES_WORTH_A_PROCESS))
        at_a_time = _CASES_AT_A_TIME * workers
        for start in range(0, len(new), at_a_time):
            for case, cached in self._prepare(cohort, new[start : start + at_a_time], workers):
                if cached is not None and self._process_case(case, cached, cohort.convention):
                    processed.append(case.id)
                progress(len(kept) + len(processed) + len(self._problems), total)
        between = self._compare(cohort)
        wrong = {one.case_id for one in between if one.severity is Severity.ERROR}
        findings = self._all_findings(cohort, between)
        done = {*kept, *processed} - wrong
        left_out = case_ids(cohort)
        self._folder.write_findings(findings)
        return FinishedRun(
            tuple(one for one in processed if one in done),
            tuple(one for one in kept if one in done),
            tuple(sorted(left_out - done)),
            findings,
            Counter(tuple(case.images) for case in cohort.left_out),
        )

    def _prepare(
        self, cohort: Cohort, cases: Sequence[Case], workers: int
    ) -> Iterator[tuple[Case, CachedCase | None]]:
        """Check and prepare some cases, as for training; None for one that is left out."""
        made = process_cases(
            replace(cohort, cases=tuple(cases)),
            (self._findings, self._cache),
            case_format=self._format,
            index=self._index,
            workers=workers,
        )
        self._checks |= made.of(self._findings)
        self._problems |= made.problems
        ready = made.of(self._cache)
        for case in cases:
            if case.id not in ready and case.id not in self._problems:
                errors = [one for one in self._found_in(case.id) if one.severity is Severity.ERROR]
                self._problems[case.id] = errors[0]
            yield case, ready.get(case.id)

    def _process_case(self, case: Case, cached: CachedCase, convention: str | None) -> bool:
        """Process one case; returns whether that was possible."""
        try:
            shortfall = self._work.write(case, cached, self._work.key(case, convention, self._index))
        except CaseError as error:
            self._problems[case.id] = error.problem
            return False
        self._shortfalls += [shortfall] if shortfall else []
        shutil.rmtree(cached.folder, ignore_errors=True)
        return True

    def _is_finished(self, case: Case, convention: str | None) -> bool:
        """Whether a case was processed from the same files, with the same model and settings."""
        finished = self._folder.finished(case.id)
        if finished is None or not set(self._work.extras) <= set(finished.extras):
            return False
        with suppress(CaseError):
            if finished.key == self._work.key(case, convention, self._index):
                return self._recall_check(case, convention)
        return False

    def _recall_check(self, case: Case, convention: str | None) -> bool:
        """Look up what was found in a case; returns False for what is an error by now."""
        with suppress(CaseError):
            key = CaseReader(case, self._index.recall(case)).key(convention, self._format.name)
            check = self._findings.recall(key, case, convention)
            if check is not None and self._findings.usable(check):
                self._checks[case.id] = check
                return True
        return False

    def _found_in(self, case_id: str) -> Iterator[Finding]:
        check = self._checks.get(case_id)
        return check.findings(self._accepted.apply) if check else iter(())

    def _compare(self, cohort: Cohort) -> list[Finding]:
        """What cases show beside each other, such as one examination under two ids."""
        if not self._comparing:
            return []
        files = {case_id: check.files for case_id, check in self._checks.items()}
        found = check_patients(cohort.cases, self._checks, self._format.checks)
        return [self._accepted.apply(one.in_files(files.get(one.case_id or "", ""))) for one in found]

    def _all_findings(self, cohort: Cohort, between: Sequence[Finding]) -> tuple[Finding, ...]:
        in_cases = [finding for case_id in self._checks for finding in self._found_in(case_id)]
        known = {(one.case_id, one.code) for one in in_cases}
        failed = [one for one in self._problems.values() if (one.case_id, one.code) not in known]
        against_model = self._format.checks.against_job(self._checks, self._model.learning)
        found = [*cohort.problems, *cohort.notices, *in_cases, *failed, *between, *against_model]
        found += self._shortfalls
        return tuple(sorted(found, key=lambda one: one.case_id or ""))


def case_ids(cohort: Cohort) -> set[str]:
    """Return the ids of a cohort's cases, also of those that can't be used.

    Args:
        cohort: The cases.
    """
    return {case.id for case in cohort.cases} | {one.case for one in cohort.problems}


def select_cases(cohort: Cohort, only: Collection[str]) -> Cohort:
    """Return a cohort of some cases.

    Args:
        cohort: All cases.
        only: Ids of the cases; empty for all.

    Raises:
        ConfigurationError: One is not there.
    """
    if not only:
        return cohort
    if absent := sorted(set(only) - case_ids(cohort)):
        raise ConfigurationError(
            f"--case: {counted(len(absent), 'case')} not found in the input, such as {absent[0]!r}; "
            "`consilium check DIR --show-cases` names those with a finding, and --case left out takes all"
        )
    return replace(
        cohort,
        cases=tuple(case for case in cohort.cases if case.id in only),
        problems=tuple(one for one in cohort.problems if one.case in only),
        left_out=tuple(case for case in cohort.left_out if case.id in only),
        notices=tuple(one for one in cohort.notices if one.case_id is None or one.case_id in only),
    )


@contextmanager
def failures_to_write(folder: Path) -> Iterator[None]:
    """Report that a folder can't be written as what a user can fix.

    Raises:
        ConfigurationError: It can't.
    """
    try:
        yield
    except OSError as error:
        raise ConfigurationError(write_failure(folder, error)) from error
