"""What a site must remember across restarts: attempts that it took part in, and sums that it opened."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

from consilium.data.files import OTHERS, private_folder
from consilium.errors import DataError
from consilium.secagg.errors import OpenedOtherwise, SecAggRefusal

MEMORY_FILE: Final = "secagg.sqlite"
"""In a site's `state_dir`."""

_WAIT_SECONDS: Final = 30.0
_MAKING: Final = Lock()
"""Held while a file is made, so that no other thread has locked it before it is closed."""

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS attempts (job TEXT PRIMARY KEY, last INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS opened (subject BLOB PRIMARY KEY, survivors BLOB NOT NULL);
"""


class SecAggMemory:
    """A site's durable memory of secure aggregation, in one SQLite file.

    Each note has reached the disk before the site answers, so neither a restart nor two processes at a time
    make it answer twice. The file must never be restored from an older copy.

    Args:
        path: The file; it is made at the first note. One memory is for one site.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin_attempt(self, job: str, attempt: int) -> None:
        """Record that the site takes part in an attempt.

        Args:
            job: The job's id.
            attempt: Its number.

        Raises:
            SecAggRefusal: The site took part in this or a later attempt of the job.
            DataError: The memory can't be used.
        """
        with self._transaction() as database:
            row = database.execute("SELECT last FROM attempts WHERE job = ?", (job,)).fetchone()
            if row is not None and attempt <= row[0]:
                raise SecAggRefusal(
                    f"attempt {attempt} of this job is refused: this site took part in attempt {row[0]}, and "
                    "a further one has a larger number"
                )
            database.execute(
                "INSERT INTO attempts VALUES (?, ?) ON CONFLICT (job) DO UPDATE SET last = excluded.last",
                (job, attempt),
            )

    def record_opening(self, subjects: Iterable[bytes], survivors: bytes) -> None:
        """Record that the site helps to open a sum.

        The difference of two sums of the same vectors is the vector of the site that is in one of them only,
        or that counts more in one of them.

        Args:
            subjects: Digests of what the site's vector was made from.
            survivors: Digest of the names of the sites in the sum, and of its parameters.

        Raises:
            OpenedOtherwise: It helped to open a sum of one of the subjects with other survivors or
                parameters.
            DataError: The memory can't be used.
        """
        with self._transaction() as database:
            for subject in subjects:
                query = "SELECT survivors FROM opened WHERE subject = ?"
                row = database.execute(query, (subject,)).fetchone()
                if row is not None and row[0] != survivors:
                    raise OpenedOtherwise(
                        "this site opened a sum of this round with other survivors or other parameters, and "
                        "their difference would show single sites' vectors: repeat it with the same ones, or "
                        "continue"
                    )
                database.execute("INSERT OR IGNORE INTO opened VALUES (?, ?)", (subject, survivors))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            private_folder(self._path.parent)
            _make_private(self._path)
            with closing(
                sqlite3.connect(self._path, timeout=_WAIT_SECONDS, isolation_level=None)
            ) as database:
                database.execute("PRAGMA synchronous = EXTRA")
                database.executescript(_TABLES)
                database.execute("BEGIN IMMEDIATE")
                yield database
                database.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            raise DataError(
                f"The memory of secure aggregation, {self._path}, can't be used ({error}): let the account "
                "that runs FLARE read and write it, and make room on its disk."
            ) from error


def _make_private(path: Path) -> None:
    """Make a database that only its owner can read, as SQLite gives its journals the same mode.

    A file that is there is not opened: to close it would release the locks that SQLite has on it for other
    threads of this process.

    Raises:
        OSError: It can't be made, or closed to others.
    """
    with _MAKING:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, stat.S_IRUSR | stat.S_IWUSR))
        except FileExistsError:
            mode = stat.S_IMODE(path.stat().st_mode)
            if os.name == "posix" and mode & OTHERS:
                path.chmod(mode & ~OTHERS)
