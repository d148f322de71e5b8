"""Search of a process's memory and of a folder for bytes that must not be there."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

_PIECE = 32
"""Bytes that no other values have by chance."""


def piece_of(array: np.ndarray[Any, Any]) -> bytes:
    """Return a part of an array that is looked for."""
    content, middle = array.tobytes(), array.nbytes // 2
    return content[middle : middle + _PIECE]


def find_pieces(pieces: Collection[bytes], folder: Path, process: int) -> Iterator[str]:
    """Yield `disk` for each file of a folder, and `memory` for each part of a process, that has one."""
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # removed meanwhile
            if path.is_file() and any(one in path.read_bytes() for one in pieces):
                yield "disk"
    with Path(f"/proc/{process}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{process}/maps").read_text().splitlines():
            place, rights, *_, name = [*line.split(maxsplit=5), "", "", ""][:6]
            if not rights.startswith("rw") or name.startswith("[v"):
                continue
            start, end = (int(part, 16) for part in place.split("-"))
            try:
                memory.seek(start)
                content = memory.read(end - start)
            except (OSError, ValueError, OverflowError):  # freed meanwhile, or no memory to read
                continue
            if any(one in content for one in pieces):
                yield "memory"
