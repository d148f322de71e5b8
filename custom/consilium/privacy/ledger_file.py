"""SQLite file of a privacy ledger: how it is made, opened and kept open."""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

_Marks: TypeAlias = "tuple[tuple[int, int, int] | None, ...]"
"""Size and times of change of the file and of its log; None for a file that is not there."""

PATIENCE_S: Final = 60.0
"""How long another process is waited for."""


class LedgerFile:
    """An SQLite file with a log ahead of it, so that a commit waits for one synchronization of the disk.

    The connection stays open from its first use: the last one that closes moves the log into the file, and
    waits for more. One thread at a time may use it, which the ledger's lock ensures.

    Args:
        path: The file. The log beside it, with the same name and `-wal`, is a part of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None
        """Device and number of the file that is open."""
        self._size = 0
        """Its bytes when it was last used; SQLite makes it no smaller."""
        self._left: _Marks | None = None
        """How the file and its log were left when it was last used."""
        self._checked: int | None = None
        """SQLite's count of what other connections have written, when the file was last checked."""

    def create(self) -> None:
        """Make the empty file, durably, as is the name of every other new file of its folder.

        Raises:
            FileExistsError: There is one.
        """
        os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        """Provide the open file; it is closed after any error, which undoes what was not committed.

        It is opened again if anybody has written to it or its log since, also past SQLite, whose memory would
        hide that: then it is checked as at the first use. Who writes in the same tick of the file system's
        clock as this object, a few milliseconds, is found at the next opening only.

        Raises:
            OSError: It was replaced or shortened since it was opened, or can't be opened.
            sqlite3.Error: It can't be opened.
        """
        try:
            found = self.path.stat()
            identity = (found.st_dev, found.st_ino)
            if self._connection is None:
                self._connection, self._opened = self._open(), identity
            elif self._opened != identity:
                raise OSError("it was replaced by another file while this process ran")
            elif found.st_size < self._size:
                raise OSError("it was shortened while this process ran")
            elif self._left != self._marks():
                self.close()
                self._connection, self._opened = self._open(), identity
            yield self._connection
            self._size, self._left = self.path.stat().st_size, self._marks()
        except BaseException:
            self.close()
            raise

    def is_unchanged(self, connection: sqlite3.Connection) -> bool:
        """Return whether nobody else has written since the last call.

        If somebody has, or at the first call, SQLite checks the file.

        Raises:
            sqlite3.DatabaseError: It is damaged.
        """
        version = connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._checked:
            return True
        self._checked = None
        if (found := connection.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(str(found))
        self._checked = version
        return False

    def close(self) -> None:
        """Close the file; the next use opens and checks it."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._opened = self._checked = None

    def _marks(self) -> _Marks:
        marks: list[tuple[int, int, int] | None] = []
        for path in (self.path, self.path.with_name(f"{self.path.name}-wal")):
            try:
                found = path.stat()
            except FileNotFoundError:
                marks.append(None)
            else:
                marks.append((found.st_size, found.st_mtime_ns, found.st_ctime_ns))
        return tuple(marks)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, isolation_level=None, timeout=PATIENCE_S, check_same_thread=False
        )
        weakref.finalize(self, connection.close)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA journal_mode = WAL")
        # A commit waits for the disk from FULL on. Where a file system allows no log, EXTRA keeps a power cut
        # soon after a commit from bringing back the journal, which would undo it.
        connection.execute("PRAGMA synchronous = EXTRA")
        return connection
