"""Training patches cut from prepared volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from consilium.data.cached_case import CachedCase
from consilium.tasks.segmentation.volume_case import VolumeCase


@dataclass(frozen=True, slots=True)
class Placement:
    """Position of a patch in its case.

    Attributes:
        start: First voxel, `(3,)`; negative where the patch reaches beyond the case.
        flips: For each axis, the slice that leaves it as it is or turns it around.
    """

    start: NDArray[np.int64]
    flips: tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True)
class PatchSampler:
    """Cuts patches out of cases and flips them; a `Sampler`.

    Attributes:
        size: Voxels along X, Y, Z.
        foreground_share: Share of patches centered on a labeled voxel; the others are centered anywhere.
    """

    size: tuple[int, int, int]
    foreground_share: float

    def place(self, case: CachedCase, random: np.random.Generator) -> Placement:
        """Draw the position of the next patch, and flip each axis half of the time."""
        start = self._start(case, VolumeCase.of(case).geometry.task_shape, random)
        x, y, z = (slice(None, None, -1 if random.random() < 0.5 else 1) for _ in range(3))
        return Placement(start, (x, y, z))

    def cut(self, case: CachedCase, placement: Placement) -> tuple[Tensor, Tensor]:
        """Cut a patch.

        Returns:
            Image `(C, X, Y, Z)` float16 and tissue label `(X, Y, Z)` uint8, padded with zeros where the patch
            reaches beyond the case.
        """
        arrays = (VolumeCase.of(case).image, _label(case))
        image, label = (_cut(array, placement, self.size) for array in arrays)
        return torch.from_numpy(image), torch.from_numpy(label)

    def _start(
        self, case: CachedCase, shape: Sequence[int], random: np.random.Generator
    ) -> NDArray[np.int64]:
        size, extent = np.asarray(self.size), np.asarray(shape)
        tissues = VolumeCase.of(case).class_voxels
        if tissues and random.random() < self.foreground_share:
            # First a class, then a voxel of it: small regions are met as often as large ones.
            voxels = tissues[list(tissues)[random.integers(len(tissues))]]
            center = voxels[random.integers(len(voxels))].astype(np.int64)
            start = center - size // 2 + random.integers(-size // 4, size // 4 + 1)
        else:
            start = random.integers(0, np.maximum(extent - size, 0) + 1)
        # A patch larger than the case is centered on it; any other stays inside.
        inside = np.clip(start, 0, np.maximum(extent - size, 0))
        first: NDArray[np.int64] = np.where(extent < size, (extent - size) // 2, inside)
        return first


def _label(case: CachedCase) -> NDArray[np.uint8]:
    label = VolumeCase.of(case).label
    if label is None:
        raise ValueError("patches are cut from labeled cases only")
    return label


def _cut(array: NDArray[Any], placement: Placement, size: Sequence[int]) -> NDArray[Any]:
    """Copy the box out of the last three axes of a memory-mapped array; voxels outside the array are 0."""
    start = placement.start
    stop = start + size
    first, last = np.maximum(start, 0), np.minimum(stop, array.shape[-3:])
    inside: NDArray[Any] = np.asarray(array)[_slices(first, last)]
    make = np.empty if inside.shape[-3:] == tuple(size) else np.zeros
    box: NDArray[Any] = make((*array.shape[:-3], *size), dtype=array.dtype)
    # Written through a flipped view of the box, so that every voxel is copied once.
    box[(..., *placement.flips)][_slices(first - start, last - start)] = inside
    return box


def _slices(first: NDArray[np.int64], last: NDArray[np.int64]) -> tuple[Any, ...]:
    return (..., *(slice(int(low), int(high)) for low, high in zip(first, last, strict=True)))
