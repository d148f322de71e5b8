"""Resampling of volumes between two grids that cover the same box.

Voxels are boxes, not points: both grids share their outer faces, so going to another voxel size and back
moves nothing, whatever the sizes (`align_corners=False` in torch's words).

Torch is imported where arrays are resampled: processes that only check cases do without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

from consilium.tasks.segmentation.orientation import Shape3D, Spacing3D

_SAME_SPACING_MM = 1e-3
"""Spacings closer than this are the same one, rounded differently in a header."""
_FLOAT16_MAX = float(np.finfo(np.float16).max)

ResamplingMode = Literal["linear", "nearest"]


def resample(volume: Tensor, shape: Sequence[int], *, mode: ResamplingMode = "linear") -> Tensor:
    """Resample every channel to another number of voxels over the same box.

    Args:
        volume: Floating point, `(C, X, Y, Z)`.
        shape: Voxels along X, Y and Z to come.
        mode: `linear` averages over the source voxels along axes that lose more than half of them, since
            linear interpolation alone would skip some; `nearest` takes the closest voxel.

    Returns:
        Tensor `(C, *shape)`; `volume` itself where nothing changes.
    """
    import torch.nn.functional as F

    source, target = tuple(volume.shape[1:]), tuple(shape)
    if source == target:
        return volume
    if mode == "nearest":
        return F.interpolate(volume[None], size=target, mode="nearest-exact")[0]
    averaged = tuple(new if round(old / new) > 2 else old for old, new in zip(source, target, strict=True))
    if averaged != source:
        volume = F.interpolate(volume[None], size=averaged, mode="area")[0]
    return F.interpolate(volume[None], size=target, mode="trilinear", align_corners=False)[0]


def grid_shape(start: Shape3D, stop: Shape3D, native: Spacing3D, wanted: Spacing3D) -> Shape3D:
    """Return the voxels of a crop on another grid: the whole number that comes closest to its voxel size.

    Args:
        start: First voxel of the crop.
        stop: One past its last.
        native: Voxel size of the crop in mm.
        wanted: That of the other grid.
    """
    x, y, z = (
        last - first if abs(old - new) < _SAME_SPACING_MM else max(1, round((last - first) * old / new))
        for first, last, old, new in zip(start, stop, native, wanted, strict=True)
    )
    return x, y, z


def to_half(image: Tensor) -> Tensor:
    """Round an image to 16 bits, as it is kept: what the network sees."""
    return image.clamp(-_FLOAT16_MAX, _FLOAT16_MAX).half()


def resample_label(label: NDArray[np.uint8], shape: Sequence[int]) -> NDArray[np.uint8]:
    """Resample a label: each tissue's share of a voxel is interpolated and the largest share wins.

    Nearest neighbor would shift borders by up to half a voxel and fray thin rims.

    Args:
        label: Tissues, `(X, Y, Z)`.
        shape: Voxels along X, Y and Z to come.

    Returns:
        Tissues, of the given shape.
    """
    if label.shape == tuple(shape):
        return label
    import torch

    source = torch.from_numpy(np.ascontiguousarray(label))
    winner = torch.zeros(tuple(shape), dtype=torch.uint8)
    largest = torch.full(tuple(shape), -1.0)
    for value in np.unique(label):  # one tissue at a time: all at once would take gigabytes
        share = resample((source == int(value)).float()[None], shape)[0]
        winner[share > largest] = int(value)
        largest = torch.maximum(largest, share)
    return winner.numpy()
