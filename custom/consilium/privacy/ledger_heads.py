"""File beside a privacy ledger that holds the hash of every entry, so that a rollback of the ledger shows."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_LINE: Final = re.compile(rb"([0-9]{1,18}) ([0-9a-f]{64})")

_LONGEST_TAIL: Final = 128
"""Bytes that hold the end of the last complete line: more than a line has."""


class LedgerHeads:
    """The heads of a ledger, one a line: the number of an entry and its keyed hash.

    It is only ever appended to, after the entry itself is durable. It may be behind the ledger after a power
    cut, and never ahead of it. All of it is compared with what was read before, and what is new is parsed.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = b""
        """The complete lines that `_hashes` is from."""
        self._hashes: list[str] = []

    def create(self) -> None:
        """Make the empty file, durably; nothing changes where there is one."""
        descriptor = os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600)
        os.fsync(descriptor)
        os.close(descriptor)

    def read(self) -> list[str] | None:
        """Return the hash of every entry, in order; None if there is no file.

        An incomplete last line is left out.

        Raises:
            ValueError: If a line is damaged, or of another entry than its place says.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        if not content.startswith(self._read):
            self._read, self._hashes = b"", []
        end = content.rfind(b"\n") + 1
        hashes = list(self._hashes)
        for line in content[len(self._read) : end].split(b"\n")[:-1]:
            found = _LINE.fullmatch(line)
            if found is None:
                raise ValueError(f"line {len(hashes) + 1} is damaged")
            if int(found[1]) != len(hashes):
                raise ValueError(f"line {len(hashes) + 1} is not of entry {len(hashes)}")
            hashes.append(found[2].decode())
        self._read, self._hashes = content[:end], hashes
        return list(hashes)

    def append(self, first: int, hashes: Sequence[str]) -> None:
        """Append heads; an incomplete last line is replaced.

        They are not waited for: what a power cut loses is appended when the ledger is opened.

        Args:
            first: Number of the first entry.
            hashes: Its hash, and those of the following entries.

        Raises:
            OSError: The file can't be written, or does not end with a line of heads.
        """
        descriptor = os.open(self.path, os.O_RDWR)
        try:
            size = os.fstat(descriptor).st_size
            tail = os.pread(descriptor, _LONGEST_TAIL, max(size - _LONGEST_TAIL, 0))
            if size > len(tail) and b"\n" not in tail:
                raise OSError("it does not end with a line of heads")
            end = size - len(tail) + tail.rfind(b"\n") + 1
            if end < size:
                os.ftruncate(descriptor, end)
            lines = b"".join(f"{number} {head}\n".encode() for number, head in enumerate(hashes, first))
            os.pwrite(descriptor, lines, end)
        finally:
            os.close(descriptor)
