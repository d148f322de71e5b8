"""A prepared case of volumes: its arrays on two grids, and the mapping to its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from consilium.data.cached_case import CachedCase
from consilium.data.case_preparation import Prepared
from consilium.tasks.segmentation.geometry import Geometry

VOXELS_PER_CLASS: Final = 2048
"""Voxels of each class that are kept to center patches on."""

_IMAGE: Final = "image"
_LABEL: Final = "label"
_REFERENCE: Final = "reference"
_VOXELS: Final = "voxels"


class VolumeMeta(BaseModel):
    """Metadata of a case's arrays.

    Attributes:
        geometry: The way back to the original file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    geometry: Geometry


@dataclass(frozen=True)
class PreprocessedCase:
    """The arrays of one case, before they are written.

    Args:
        image: Normalized inputs on the task grid, `(C, X, Y, Z)`.
        label: Classes on the task grid, `(X, Y, Z)`; None for an unlabeled case.
        reference: Classes on the native crop, as drawn: what a prediction is evaluated against.
        geometry: How the grids relate to the file.
    """

    image: NDArray[np.float16]
    label: NDArray[np.uint8] | None
    reference: NDArray[np.uint8] | None
    geometry: Geometry

    def prepared(self) -> Prepared:
        """Return what is kept in the cache."""
        arrays: dict[str, NDArray[Any]] = {_IMAGE: self.image}
        labeled = self.label is not None and self.reference is not None
        if self.label is not None and self.reference is not None:
            arrays |= {_LABEL: self.label, _REFERENCE: self.reference, _VOXELS: _sample_voxels(self.label)}
        return Prepared(arrays, VolumeMeta(geometry=self.geometry), labeled)


@dataclass(frozen=True)
class VolumeCase(CachedCase):
    """A prepared case, ready to cut patches from; see `CachedCase`."""

    @classmethod
    def of(cls, case: CachedCase) -> VolumeCase:
        """Return a case of a segmentation as what it is.

        Raises:
            TypeError: It is one of another problem.
        """
        if not isinstance(case, cls):
            raise TypeError(f"a case of volumes is wanted, not {type(case).__name__}")
        return case

    @cached_property
    def geometry(self) -> Geometry:
        """The way back to the original file."""
        return VolumeMeta.model_validate(self.meta).geometry

    @property
    def image(self) -> NDArray[np.float16]:
        """Normalized inputs on the task grid, `(C, X, Y, Z)`, read-only."""
        return self.array(_IMAGE)

    @property
    def label(self) -> NDArray[np.uint8] | None:
        """Classes on the task grid, `(X, Y, Z)`, read-only; None for an unlabeled case."""
        return self.array(_LABEL) if self.labeled else None

    @property
    def reference(self) -> NDArray[np.uint8] | None:
        """Classes on the native crop, `(X, Y, Z)`, read-only; None for an unlabeled case."""
        return self.array(_REFERENCE) if self.labeled else None

    @cached_property
    def class_voxels(self) -> Mapping[int, NDArray[np.int16]]:
        """For each class but background in `label`, indices `(N, 3)` of up to 2048 of its voxels."""
        if not self.labeled:
            return {}
        rows: NDArray[np.int16] = np.array(self.array(_VOXELS))
        return {int(value): rows[rows[:, 0] == value, 1:] for value in np.unique(rows[:, 0])}


def _sample_voxels(label: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Rows of class, x, y, z; the draw is seeded so that an entry depends on its content alone."""
    random = np.random.default_rng(0)
    rows = [np.empty((0, 4), dtype=np.int16)]
    for value in np.unique(label[label != 0]):
        indices = np.flatnonzero(label == value)
        chosen = random.choice(indices, size=min(len(indices), VOXELS_PER_CLASS), replace=False)
        voxels = np.stack(np.unravel_index(chosen, label.shape), axis=1)
        rows.append(np.insert(voxels, 0, value, axis=1).astype(np.int16))
    return np.concatenate(rows)
