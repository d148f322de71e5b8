"""One preprocessed case on disk: arrays that are mapped into memory, and how they are written and checked."""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from consilium.data.case import Case
from consilium.data.files import private_opener, write_atomically
from consilium.data.geometry import Geometry
from consilium.data.labels import Tissue
from consilium.data.preprocessing import PreprocessedCase
from consilium.errors import DataError

ENTRY_VERSION: Final = 1
"""Raised when the files of an entry change their form, so that older ones are built anew."""

_META, _IMAGE, _LABEL, _REFERENCE, _VOXELS = (
    "meta.json",
    "image.npy",
    "label.npy",
    "reference.npy",
    "voxels.npy",
)
_VOXELS_PER_TISSUE = 2048
_SHORTAGES = (errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""What the machine lacks for a while, memory or free file descriptors; a case is not lost by it."""


class UnreadableCase(DataError):
    """A case that was preprocessed has gone from the disk since, or its files are damaged."""


@dataclass(frozen=True)
class CachedCase:
    """A preprocessed case, ready to cut patches from.

    Arrays are mapped anew at each access and nothing is kept open: a site with a thousand cases would
    otherwise run out of file descriptors, and a data loader's workers receive a few paths instead of
    arrays. Each access may raise `UnreadableCase`.

    Args:
        id: As in `Case`. Never leaves the site.
        patient: As in `Case`.
        geometry: The way back to the original file.
        folder: The cache's entry.
        labeled: Whether the case has a label.
    """

    id: str
    patient: str
    geometry: Geometry
    folder: Path
    labeled: bool

    @property
    def image(self) -> NDArray[np.float16]:
        """Normalized modalities on the task grid, `(C, X, Y, Z)`, read-only."""
        return self._map(_IMAGE)

    @property
    def label(self) -> NDArray[np.uint8] | None:
        """Tissues on the task grid, `(X, Y, Z)`, read-only; None for an unlabeled case."""
        return self._map(_LABEL) if self.labeled else None

    @property
    def reference(self) -> NDArray[np.uint8] | None:
        """Tissues on the native crop, `(X, Y, Z)`, read-only; None for an unlabeled case."""
        return self._map(_REFERENCE) if self.labeled else None

    @cached_property
    def tissue_voxels(self) -> Mapping[Tissue, NDArray[np.int16]]:
        """For each tissue but background in `label`, indices `(N, 3)` of up to 2048 of its voxels."""
        if not self.labeled:
            return {}
        rows: NDArray[np.int16] = self._load(_VOXELS)
        return {Tissue(int(value)): rows[rows[:, 0] == value, 1:] for value in np.unique(rows[:, 0])}

    def _map(self, name: str) -> NDArray[Any]:
        return self._load(name, mmap_mode="r")

    def _load(self, name: str, mmap_mode: Literal["r"] | None = None) -> NDArray[Any]:
        try:
            array: NDArray[Any] = np.load(self.folder / name, mmap_mode=mmap_mode, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            if isinstance(error, OSError) and error.errno in _SHORTAGES:
                raise  # the file may be whole
            raise UnreadableCase(f"its preprocessed {name} can no longer be read: {error}") from error
        return array


class _Meta(BaseModel):
    """What an entry holds; written last, so an entry without it is incomplete."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    geometry: Geometry
    file_bytes: dict[str, int]


def write_entry(folder: Path, case: PreprocessedCase) -> None:
    """Write the files of an entry into an empty folder.

    Raises:
        OSError: For example because the disk is full.
    """
    arrays: dict[str, NDArray[Any]] = {_IMAGE: case.image}
    if case.label is not None and case.reference is not None:
        arrays |= {_LABEL: case.label, _REFERENCE: case.reference, _VOXELS: _sample_voxels(case.label)}
    for name, array in arrays.items():
        with open(folder / name, "wb", opener=private_opener) as file:
            np.save(file, array, allow_pickle=False)
    sizes = {name: (folder / name).stat().st_size for name in arrays}
    meta = _Meta(geometry=case.geometry, file_bytes=sizes)
    write_atomically(folder / _META, meta.model_dump_json().encode(), durable=False)


def open_entry(folder: Path, case: Case) -> CachedCase | None:
    """The cached form of a case, None if its entry is absent, incomplete or damaged; marks it as used now."""
    try:
        meta = _Meta.model_validate_json((folder / _META).read_bytes())
        if any((folder / name).stat().st_size != size for name, size in meta.file_bytes.items()):
            return None
        os.utime(folder / _META)
    except (OSError, ValidationError):
        return None
    return CachedCase(case.id, case.patient, meta.geometry, folder, labeled=_LABEL in meta.file_bytes)


def last_used(folder: Path) -> float:
    """When an entry was last opened, in seconds since the epoch; 0 for an incomplete one: it goes first."""
    try:
        return (folder / _META).stat().st_mtime
    except FileNotFoundError:
        return 0.0


def entry_bytes(folder: Path) -> int:
    """What an entry takes on disk, in bytes; 0 when another process has just removed it."""
    try:
        return sum(file.stat().st_size for file in folder.iterdir())
    except FileNotFoundError:
        return 0


def _sample_voxels(label: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Rows of tissue, x, y, z; the draw is seeded so that an entry depends on its content alone."""
    random = np.random.default_rng(0)
    rows = [np.empty((0, 4), dtype=np.int16)]
    for value in np.unique(label[label != Tissue.BACKGROUND]):
        indices = np.flatnonzero(label == value)
        chosen = random.choice(indices, size=min(len(indices), _VOXELS_PER_TISSUE), replace=False)
        voxels = np.stack(np.unravel_index(chosen, label.shape), axis=1)
        rows.append(np.insert(voxels, 0, value, axis=1).astype(np.int16))
    return np.concatenate(rows)
