"""File beside a privacy ledger that holds the hash of every entry, so that a rollback of the ledger shows."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_LINE: Final = re.compile(rb"([0-9]{1,18}) ([0-9a-f]{64})")


class LedgerHeads:
    """The heads of a ledger, one a line: the number of an entry and its keyed hash.

    It is only ever appended to, after the entry itself is durable. It may be behind the ledger after a power
    cut, and never ahead of it.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Make the empty file, durably; nothing changes where there is one."""
        descriptor = os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600)
        os.fsync(descriptor)
        os.close(descriptor)

    def read(self) -> list[tuple[int, str]] | None:
        """Return the heads; None if there is no file. An incomplete last line is none.

        Raises:
            ValueError: If a line is damaged.
        """
        try:
            *lines, _ = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return None
        heads: list[tuple[int, str]] = []
        for line in lines:
            found = _LINE.fullmatch(line)
            if found is None:
                raise ValueError(f"line {len(heads) + 1} is damaged")
            heads.append((int(found[1]), found[2].decode()))
        return heads

    def append(self, heads: Sequence[tuple[int, str]]) -> None:
        """Append heads; an incomplete last line is replaced.

        They are not waited for: what a power cut loses is appended when the ledger is opened.
        """
        descriptor = os.open(self.path, os.O_RDWR)
        try:
            content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
            end = content.rfind(b"\n") + 1
            if end < len(content):
                os.ftruncate(descriptor, end)
            lines = b"".join(f"{number} {head}\n".encode() for number, head in heads)
            os.pwrite(descriptor, lines, end)
        finally:
            os.close(descriptor)
