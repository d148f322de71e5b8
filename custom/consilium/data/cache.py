"""The preprocessing cache: each case is preprocessed once, whatever runs, stops or crashes in between."""

import errno
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from consilium.data.cached_case import (
    ENTRY_VERSION,
    CachedCase,
    entry_bytes,
    last_used,
    open_entry,
    write_entry,
)
from consilium.data.case import Case, CaseError, CaseProblem
from consilium.data.cohort import Cohort
from consilium.data.files import private_folder
from consilium.data.labels import LabelConvention
from consilium.data.preprocessing import PreprocessingSettings, preprocess
from consilium.data.progress import Progress
from consilium.data.source_key import KEY_BYTES, source_key
from consilium.errors import Cancelled, DataError

__all__ = ["CachedCase", "CaseCache", "PreparedCohort"]

# Only what is named like an entry is ever removed, in case somebody points the cache at a folder in use.
_KEY = re.compile(rf"[0-9a-f]{{{2 * KEY_BYTES}}}")
_PARTIAL = ".partial"
_GIB = 1 << 30


@dataclass(frozen=True)
class PreparedCohort:
    """A cohort in the cache.

    Args:
        cases: Cases that are ready, labeled or not, sorted by id.
        problems: Every case that is left out, by the cohort's reader or here, sorted by id.
    """

    cases: tuple[CachedCase, ...]
    problems: tuple[CaseProblem, ...]


class CaseCache:
    """Preprocessed cases in a folder of the site.

    An entry is named by a hash of the source files' content and of everything else that it depends on, so a
    changed file or setting is a new entry and no entry ever goes stale. It is built under a lock beside its
    place and then renamed into it: two processes never build the same one, and nobody sees half of one.

    Give each site a folder of its own. Where `max_bytes` is too small for two jobs with different settings,
    a job may remove entries that the other still needs.

    Args:
        folder: Where entries are kept; created on first use. What is in it is readable by the owner only; a
            folder that was there before keeps its own mode.
        settings: How to preprocess.
        max_bytes: Entries that the present cohort doesn't need are removed, least recently used first,
            until what is left fits; None keeps all.
    """

    def __init__(
        self, folder: Path, *, settings: PreprocessingSettings, max_bytes: int | None = None
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._max_bytes = max_bytes

    def prepare(
        self,
        cohort: Cohort,
        *,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> PreparedCohort:
        """Preprocess what is not in the cache yet; a case that fails becomes a problem and stops no other.

        Args:
            cohort: The site's cases.
            progress: Told about each case that is ready.
            cancelled: Asked before every case.

        Returns:
            The cases that are ready, and all problems, those of the cohort included.

        Raises:
            DataError: The folder can't be written, the disk is full, or the cohort needs more than
                `max_bytes`.
            Cancelled: `cancelled` turned true. What was built stays.
        """
        try:
            return self._prepare(
                cohort, progress or (lambda done, total, what: None), cancelled or (lambda: False)
            )
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                cause = "its disk is full; make room, or set cache_dir to a larger disk"
            else:
                cause = f"it can't be written ({error}); let the account that runs FLARE write to it"
            raise DataError(f"The cache {self._folder} failed: {cause}.") from error

    def _prepare(self, cohort: Cohort, progress: Progress, cancelled: Callable[[], bool]) -> PreparedCohort:
        private_folder(self._folder, ours=False)
        self._remove_leftovers()
        problems = list(cohort.problems)
        keys: dict[str, str] = {}
        for case in cohort.cases:
            _stop_if(cancelled)
            try:
                keys[case.id] = source_key(
                    case,
                    cohort.convention,
                    self._settings.modalities,
                    (ENTRY_VERSION, self._settings.fingerprint()),
                )
            except CaseError as error:
                problems.append(error.problem)
        others = self._entries(without=keys.values())
        needed = 0
        ready: list[CachedCase] = []
        for done, case in enumerate(cohort.cases, start=1):
            _stop_if(cancelled)
            if case.id in keys:
                try:
                    cached = self._open_or_build(keys[case.id], case, cohort.convention)
                    ready.append(cached)
                    needed += entry_bytes(cached.folder)
                    self._make_room(needed, others, share=len(ready) / len(cohort.cases))
                except CaseError as error:
                    problems.append(error.problem)
            progress(done, len(cohort.cases), "preparing cases")
        by_id = sorted(problems, key=lambda problem: problem.case_id)
        return PreparedCohort(tuple(ready), tuple(by_id))

    def _open_or_build(self, key: str, case: Case, convention: LabelConvention | None) -> CachedCase:
        entry = self._folder / key
        with self._lock(key):
            if entry.is_dir():
                private_folder(entry)  # an earlier version left it open
            cached = open_entry(entry, case)
            if cached is not None:
                return cached
            prepared = preprocess(case, convention, self._settings)
            partial = entry.with_suffix(_PARTIAL)
            for leftover in (entry, partial):  # whoever made them is gone: the lock is ours
                shutil.rmtree(leftover, ignore_errors=True)
            private_folder(partial)
            try:
                write_entry(partial, prepared)
                partial.rename(entry)
            except OSError:
                shutil.rmtree(partial, ignore_errors=True)
                raise
            cached = open_entry(entry, case)
        if cached is None:
            raise OSError(f"entry {key} is damaged right after it was written")
        return cached

    def _lock(self, key: str, *, wait: bool = True) -> FileLock:
        locks = private_folder(self._folder / "locks")
        return FileLock(locks / f"{key}.lock", timeout=-1 if wait else 0, mode=0o600)

    def _remove_leftovers(self) -> None:
        """Delete what a killed process had half built; what another still builds is locked."""
        for path in self._folder.iterdir():
            if path.suffix == _PARTIAL and _KEY.fullmatch(path.stem):
                self._remove_unless_locked(path, path.stem)

    def _make_room(self, needed: int, others: dict[Path, int], *, share: float) -> None:
        """Remove other entries, oldest first, until they and the cohort's own fit into the limit.

        Args:
            needed: Bytes of the cohort's entries so far.
            others: Bytes of each other entry, least recently used first; what is removed leaves it.
            share: How much of the cohort is ready, 0 to 1.
        """
        if self._max_bytes is None:
            return
        if needed > self._max_bytes:
            raise DataError(
                f"The cache {self._folder} is limited to {self._max_bytes / _GIB:.2f} GiB, but this cohort "
                f"needs about {needed / share / _GIB:.2f} GiB. Raise the property cache_gib of the site's "
                "scope in local/privacy.json, or ask for a job with a larger spacing_mm."
            )
        while others and needed + sum(others.values()) > self._max_bytes:
            oldest = next(iter(others))
            del others[oldest]
            self._remove_unless_locked(oldest, oldest.name)

    def _remove_unless_locked(self, folder: Path, key: str) -> None:
        try:
            with self._lock(key, wait=False):
                shutil.rmtree(folder, ignore_errors=True)
        except Timeout:
            return

    def _entries(self, *, without: Iterable[str]) -> dict[Path, int]:
        """Entries that this cohort doesn't use and their bytes, least recently used first."""
        kept = set(without)
        others = [
            path for path in self._folder.iterdir() if _KEY.fullmatch(path.name) and path.name not in kept
        ]
        return {path: entry_bytes(path) for path in sorted(others, key=last_used)}


def _stop_if(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise Cancelled("Preparing the cases was cancelled; what is ready stays in the cache.")
