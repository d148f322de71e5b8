"""Size limit of a cache: entries of other cohorts are removed first, then the least recently used."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Final

from filelock import Timeout

from consilium.data.cache_entry import META, NAME_BYTES, PARTIAL, entry_lock
from consilium.errors import DataError

# Only what is named like an entry is ever removed, in case somebody points the cache at a folder in use.
_NAME: Final = re.compile(rf"[0-9a-f]{{{2 * NAME_BYTES}}}")
_GIB: Final = 1 << 30


class CacheLimit:
    """Accounts for a cohort's size, and removes other entries until it fits.

    Args:
        folder: The cache.
        max_bytes: The limit; None for none.
        needed: Names of entries that the cohort is known to need.
    """

    def __init__(self, folder: Path, max_bytes: int | None, needed: Collection[str]) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._own: dict[Path, int] = {}
        self._others: dict[Path, int] = {}
        if max_bytes is not None:
            others = [path for path in entries(folder) if path.name not in needed]
            self._others = {path: entry_bytes(path) for path in sorted(others, key=_last_used)}

    def account(self, entry: Path, share: float) -> None:
        """Record an entry of the cohort, and remove others where there is no room.

        Args:
            entry: Its folder.
            share: How much of the cohort is ready, 0 to 1.

        Raises:
            DataError: The cohort alone needs more than the limit.
        """
        if self._max_bytes is None:
            return
        self._others.pop(entry, None)
        self._own[entry] = entry_bytes(entry)
        needed = sum(self._own.values())
        if needed > self._max_bytes:
            raise DataError(
                f"The cache {self._folder} is limited to {self._max_bytes / _GIB:.2f} GiB, but this cohort "
                f"needs about {needed / share / _GIB:.2f} GiB. Raise the property cache_gib of the site's "
                "scope in local/privacy.json, or ask for a job with a larger spacing_mm."
            )
        while self._others and needed + sum(self._others.values()) > self._max_bytes:
            oldest = next(iter(self._others))
            del self._others[oldest]
            remove_unless_locked(oldest)


def entries(folder: Path) -> list[Path]:
    """The entries in a cache."""
    return [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]


def remove_leftovers(folder: Path) -> None:
    """Delete entries left incomplete by a killed process; those in progress are locked."""
    for path in folder.iterdir():
        if path.suffix == PARTIAL and _NAME.fullmatch(path.stem):
            remove_unless_locked(path)


def remove_unless_locked(path: Path) -> None:
    """Delete a complete or incomplete entry, unless another process is building it."""
    try:
        with entry_lock(path.with_suffix(""), wait=False):
            shutil.rmtree(path, ignore_errors=True)
    except Timeout:
        return


def entry_bytes(entry: Path) -> int:
    """What an entry takes on disk, in bytes; 0 when another process has just removed it."""
    try:
        return sum(file.stat().st_size for file in entry.iterdir())
    except FileNotFoundError:
        return 0


def _last_used(entry: Path) -> float:
    """When an entry was last opened, in seconds since the epoch; 0 for an incomplete one: it goes first."""
    try:
        return (entry / META).stat().st_mtime
    except FileNotFoundError:
        return 0.0
