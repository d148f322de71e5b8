"""Cache of prepared cases that survives interruptions and crashes."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consilium.data.cache_entry import META, build_entry, entry_name, read_meta
from consilium.data.cache_limit import CacheLimit, remove_leftovers
from consilium.data.cached_case import CachedCase, EntrySource
from consilium.data.case import Case
from consilium.data.case_boundary import case_boundary
from consilium.data.case_format import CaseFormat, Progress
from consilium.data.case_preparation import Examination, PreparationSettings, Prepared
from consilium.data.case_products import CaseProduct
from consilium.data.cohort import Cohort
from consilium.data.cohort_pass import CohortPass, process_cases
from consilium.data.files import private_folder, write_failure
from consilium.data.finding import Finding
from consilium.data.sources import SourceIndex
from consilium.errors import DataError

__all__ = ["CachedCase", "CaseCache", "PreparedCohort"]


@dataclass(frozen=True)
class PreparedCohort:
    """A cohort in the cache.

    Args:
        cases: Cases that are ready, labeled or not, sorted by id.
        problems: Every case that is left out, by the cohort's reader or here, sorted by id.
    """

    cases: tuple[CachedCase, ...]
    problems: tuple[Finding, ...]


class CaseCache(CaseProduct[CachedCase]):
    """Prepared cases in a folder of the site.

    An entry is named by a hash of the source files' content and of everything else that it depends on, so a
    changed file or setting is a new entry and no entry ever goes stale. See `build_entry` for how it is
    written, and `CachedCase` for how it is verified.

    Give each site a folder of its own. Where `max_bytes` is too small for two jobs with different settings,
    a job may remove entries that the other still needs; it then makes them again.

    Args:
        folder: Where entries are kept; created on first use. What is in it is readable by the owner only; a
            folder that was there before keeps its own mode.
        case_format: How cases are read and prepared.
        settings: What preparing depends on besides the files.
        max_bytes: Entries that the present cohort doesn't need are removed, least recently used first,
            until what is left fits; None keeps all.
    """

    step = "preparing cases"

    def __init__(
        self,
        folder: Path,
        *,
        case_format: CaseFormat,
        settings: PreparationSettings,
        max_bytes: int | None = None,
    ) -> None:
        self._folder = folder
        self._case_format = case_format
        self._settings = settings
        self._max_bytes = max_bytes
        self._limit: CacheLimit | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_limit": None}  # of the process that asked

    def prepare(
        self,
        cohort: Cohort,
        *,
        index: SourceIndex | None = None,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> PreparedCohort:
        """Prepare cases missing in the cache; a failing case becomes a problem and doesn't stop others.

        A job checks its cases and takes what is prepared from the same reading: see `collect`.

        Args:
            cohort: The site's cases.
            index: What is known of the files; default: what the folder of the cache holds.
            progress: Called for each case that is ready.
            cancelled: Asked before every case.

        Returns:
            The cases that are ready, and all problems, those of the cohort included.

        Raises:
            DataError: The folder can't be written, the disk is full, or the cohort needs more than
                `max_bytes`.
            Cancelled: `cancelled` turned true. What was built stays.
        """
        with self._failures():
            made = process_cases(
                cohort,
                (self,),
                case_format=self._case_format,
                index=index or SourceIndex(self._folder),
                progress=progress,
                cancelled=cancelled,
            )
        return self.collect(cohort, made)

    def collect(self, cohort: Cohort, made: CohortPass) -> PreparedCohort:
        """The cases of a cohort that a pass has prepared.

        Args:
            cohort: The cases to use, and the problems of others.
            made: The pass; this cache is one of its products.
        """
        ready = made.of(self)
        known = {problem.case_id for problem in cohort.problems}
        problems = [problem for case_id, problem in made.problems.items() if case_id not in known]
        return PreparedCohort(
            tuple(ready[case.id] for case in cohort.cases if case.id in ready),
            tuple(sorted([*cohort.problems, *problems], key=lambda problem: problem.case)),
        )

    def begin(self, keys: Collection[str]) -> None:
        """Create the folder, and remove entries left incomplete by a killed process."""
        with self._failures():
            private_folder(self._folder, ours=False)
            private_folder(self._folder / "locks")
            remove_leftovers(self._folder)
            needed = {entry_name(key, self._settings) for key in keys}
            self._limit = CacheLimit(self._folder, self._max_bytes, needed)

    def recall(self, key: str, case: Case, convention: str | None) -> CachedCase | None:
        """The entry of a case."""
        entry = self._folder / entry_name(key, self._settings)
        with self._failures():
            if entry.is_dir():
                private_folder(entry)  # an earlier version left it open
        return self._open(entry, case, convention)

    def make(
        self, key: str | None, case: Case, convention: str | None, examination: Examination[Any]
    ) -> CachedCase:
        """Prepare a case, unless another process has done so meanwhile."""
        native = examination.require_native()
        if key is None:
            raise AssertionError("a case whose files could be read has a key")
        entry = self._folder / entry_name(key, self._settings)
        with self._failures():
            build_entry(
                entry,
                lambda: self._prepare(case, native),
                whole=lambda: read_meta(entry) is not None,
            )
            cached = self._open(entry, case, convention)
            if cached is None:
                raise OSError(f"entry {entry.name} is damaged right after it was written")
        return cached

    def _prepare(self, case: Case, native: Any) -> Prepared:
        with case_boundary(case.id, case.place, "prepared"):
            return self._case_format.prepare(native, self._settings)

    def account(self, value: CachedCase, share: float) -> None:
        """Make room where the cache is limited."""
        if self._limit is not None:
            with self._failures():
                self._limit.account(value.folder, share)

    def _open(self, entry: Path, case: Case, convention: str | None) -> CachedCase | None:
        origin = EntrySource.of(case, convention, self._settings)
        return open_entry(entry, case, case_format=self._case_format, origin=origin)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(f"The cache {write_failure(self._folder, error)}.") from error


def attach(cases: Iterable[CachedCase], case_format: CaseFormat) -> tuple[Any, ...]:
    """Give cases that came as JSON their format, and the type in which it opens its cases.

    Args:
        cases: The cases.
        case_format: Of their problem.
    """
    return tuple(
        case_format.case_type(
            case.id, case.patient, case.folder, case.labeled, case.meta, case.origin, case_format
        )
        for case in cases
    )


def open_entry(
    entry: Path, case: Case, *, case_format: CaseFormat, origin: EntrySource | None = None
) -> CachedCase | None:
    """Open the entry of a case, and mark it as used now; None if it is absent or incomplete.

    Args:
        entry: The entry's folder.
        case: The case.
        case_format: Knows as what the case is opened.
        origin: What the entry was made of.
    """
    meta = read_meta(entry)
    if meta is None:
        return None
    try:
        os.utime(entry / META)
    except OSError:  # another process has just removed it
        return None
    return case_format.case_type(case.id, case.patient, entry, meta.labeled, meta.meta, origin, case_format)
