"""Buffers for arriving arrays: in memory, or in a file on the server's disk."""

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
    """A buffer that is written piece by piece."""

    def write(self, start: int, piece: bytes) -> None:
        """Write a piece.

        Raises:
            OSError: If the disk is gone.
        """

    def content(self) -> NDArray[np.uint8]:
        """Return the whole buffer once it is written, for the caller to change."""


class MemoryArrival:
    """A buffer in memory.

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
    """A buffer in a file without a name, which the system removes after its last use.

    Args:
        file: With room for all bytes.
        length: Bytes to come, at least 1.
    """

    def __init__(self, file: BinaryIO | Any, length: int) -> None:
        self._file = file
        self._length = length

    @classmethod
    def allocate(cls, length: int, folder: Path) -> DiskArrival:
        """Return a buffer whose disk space is allocated at once.

        Args:
            length: Bytes to come, at least 1.
            folder: Created where missing, readable by the owner only.

        Raises:
            OSError: If there is too little space.
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
        """Return all of it, mapped into memory: only pages in use count as memory."""
        # Private to this process: a filter may calculate in place.
        mapped = mmap.mmap(self._file.fileno(), self._length, access=mmap.ACCESS_COPY)
        self._file.close()  # the mapping stays
        return np.frombuffer(mapped, np.uint8)
