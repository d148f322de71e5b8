"""Where arrays lie while their pieces arrive: in memory, or on a server's disk."""

from __future__ import annotations

import mmap
import os
import tempfile
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from consilium.data.files import private_folder


class Arrival(Protocol):
    """A stretch of bytes that is written piece by piece."""

    def write(self, start: int, piece: bytes) -> None:
        """Write a piece.

        Raises:
            OSError: If the disk is gone.
        """

    def content(self) -> NDArray[np.uint8]:
        """Return all of it, when it is written: changes of it change nothing else."""


class MemoryArrival:
    """Keeps what arrives in memory.

    Args:
        length: Bytes to come.
    """

    def __init__(self, length: int) -> None:
        self._content: NDArray[np.uint8] = np.zeros(length, np.uint8)

    def write(self, start: int, piece: bytes) -> None:
        """Write a piece."""
        self._content[start : start + len(piece)] = np.frombuffer(piece, np.uint8)

    def content(self) -> NDArray[np.uint8]:
        """Return all of it."""
        return self._content


class DiskArrival:
    """Keeps what arrives in a file without a name, which goes when nobody uses it any more.

    Args:
        file: With room for all that is to come.
        length: Bytes to come, at least 1.
    """

    def __init__(self, file: BinaryIO | Any, length: int) -> None:
        self._file = file
        self._length = length

    @classmethod
    def allocate(cls, length: int, folder: Path) -> DiskArrival:
        """Return one whose room on the disk is taken at once.

        Args:
            length: Bytes to come, at least 1.
            folder: Made when it is needed, readable by the owner only.

        Raises:
            OSError: If there is no such room.
        """
        private_folder(folder)
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as what is returned
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, length)
        else:
            file.truncate(length)
        return cls(file, length)

    def write(self, start: int, piece: bytes) -> None:
        """Write a piece.

        Raises:
            OSError: If the disk is gone.
        """
        os.pwrite(self._file.fileno(), piece, start)

    def content(self) -> NDArray[np.uint8]:
        """Return all of it, mapped into memory.

        What is looked at counts as memory, and that only for as long as it is used.
        """
        # Private to this process: a filter may calculate in place.
        mapped = mmap.mmap(self._file.fileno(), self._length, access=mmap.ACCESS_COPY)
        self._file.close()  # the mapping stays
        return np.frombuffer(mapped, np.uint8)
