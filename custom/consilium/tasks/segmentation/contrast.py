"""Whether an image holds anything to normalize: finite voxels that differ, where the head is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consilium.counts import counted
from consilium.data.codes import ProblemCode
from consilium.tasks.segmentation.codes import VolumeCode

_LARGEST_INTENSITY = 1e32  # what a damaged scale in a header makes; float32 statistics end at 3e38
_SPARSE = (slice(None, None, 8),) * 3
_SAMPLE = 10_000
_FLAT_SHARE = 0.99
"""Share of the nonzero voxels with one value from which nothing is left to see: at most 1.4 % in twelve
images of real patients. A background that isn't 0 takes less of any file that holds a head, and is an error
of its own; with less than this share there is a warning (`little_contrast`)."""
_ROUNDING = 1e-6
"""Relative difference that resampling in float32 leaves between voxels of one value."""


def check_voxels(path: Path, array: NDArray[Any]) -> Iterator[tuple[ProblemCode, str]]:
    """Find what makes an image useless wherever the head lies in it.

    Args:
        path: Its file, for the finding.
        array: All of its voxels, `(X, Y, Z)`.
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        count = array.size - int(np.isfinite(array).sum())
        yield VolumeCode.NON_FINITE, f"{path} has {counted(count, 'voxel')} that are NaN or infinite."
        return
    low, high = array.min(initial=0), array.max(initial=0)
    if max(abs(float(low)), abs(float(high))) > _LARGEST_INTENSITY:
        yield VolumeCode.NON_FINITE, f"{path} has voxels from {low:g} to {high:g}."
        return
    only = high or low
    if not only:
        yield VolumeCode.CONSTANT_IMAGE, f"In {path} every voxel is 0."
    elif not (low and high) and all(_is_flat(part, only) for part in (array[_SPARSE], array)):
        yield VolumeCode.CONSTANT_IMAGE, f"In {path} every nonzero voxel is {only}."


def check_crop(path: Path, array: NDArray[Any]) -> Iterator[tuple[ProblemCode, str]]:
    """Find an image without contrast around the head, which is all that is normalized and trained on.

    A stray voxel elsewhere, or a few voxels of another value, make no image of a mask.

    Args:
        path: Its file, for the finding.
        array: Its voxels in the crop, `(X, Y, Z)`, all of them finite.
    """
    voxels = array.ravel(order="K")
    voxels = voxels[voxels != 0]
    if not voxels.size:
        yield VolumeCode.CONSTANT_IMAGE, f"In {path} every voxel around the head is 0."
        return
    sample = np.sort(voxels[:: max(1, voxels.size // _SAMPLE)])
    common = float(sample[sample.size // 2])  # the value of most voxels is their median
    reach = _ROUNDING * abs(common)
    alike = np.count_nonzero((voxels >= common - reach) & (voxels <= common + reach))
    if alike >= _FLAT_SHARE * voxels.size:
        around = counted(voxels.size, "nonzero voxel")
        detail = f"In {path} {alike} of the {around} around the head are {common:g}."
        yield VolumeCode.CONSTANT_IMAGE, detail


def _is_flat(array: NDArray[Any], only: float) -> bool:
    """Whether every nonzero voxel has one value."""
    return bool(np.count_nonzero(array == only) == np.count_nonzero(array))
