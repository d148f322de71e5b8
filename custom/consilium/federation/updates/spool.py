"""Spool of a round's updates on the server's disk."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from consilium.data.files import private_folder
from consilium.learning.weights import Weights


class UpdateSpool:
    """Stores each site's update as a safetensors file, and reads back one tensor at a time.

    The files are named by number: a site's name is never part of a path.

    Args:
        folder: Created for the first update, readable by the owner only; the remains of a crash are
            removed then.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Path] = {}
        self._kept = 0

    @property
    def sites(self) -> list[str]:
        """The sites whose updates are stored, by name, whatever the order of arrival."""
        return sorted(self._files)

    def keep(self, site: str, update: Weights) -> None:
        """Write a site's update.

        Raises:
            OSError: If the disk is full or gone. Nothing of the update is kept then.
        """
        if not self._kept:
            self.close()
        private_folder(self._folder)
        self._kept += 1
        path = self._folder / f"{self._kept:06d}.safetensors"
        try:
            # Not `ascontiguousarray`: it turns a counter, shape (), into (1,).
            save_file({name: np.asarray(value, order="C") for name, value in update.items()}, path)
        except BaseException as error:  # an interrupt, too, leaves no part of a file
            path.unlink(missing_ok=True)
            if isinstance(error, SafetensorError):
                raise _system_error(error) from error
            raise
        self._files[site] = path

    def read(self, site: str, name: str, rows: slice | None = None) -> NDArray[Any]:
        """Read one tensor of a site's update, or some rows of it."""
        # Opened each time: a mapped file's pages count as this process's memory.
        with safe_open(self._files[site], framework="numpy") as file:
            tensor: NDArray[Any] = file.get_tensor(name) if rows is None else file.get_slice(name)[rows]
        return tensor

    def drop(self, site: str) -> None:
        """Remove a site's update."""
        self._files.pop(site).unlink()

    def close(self) -> None:
        """Remove all of them."""
        self._files.clear()
        shutil.rmtree(self._folder, ignore_errors=True)


def _system_error(error: SafetensorError) -> OSError:
    """Return the system's error for a file that could not be written, such as a full disk."""
    found = re.search(r"os error (\d+)", str(error))
    return OSError(int(found[1]), os.strerror(int(found[1]))) if found else OSError(errno.EIO, str(error))
