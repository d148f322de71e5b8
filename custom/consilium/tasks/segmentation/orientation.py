"""Orientation, voxel sizes and crops of a stored volume."""

from typing import Any, Final, cast

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from consilium.data.file_content import UnusableFile
from consilium.tasks.segmentation.codes import VolumeCode

Shape3D = tuple[int, int, int]
Spacing3D = tuple[float, float, float]

_RAS: Final = nib.orientations.axcodes2ornt("RAS")

LARGEST_MM: Final = 1000.0
"""Longest side of a crop around anatomy in mm; the grid of a much longer one would fill any memory."""


def require_extent(start: Shape3D, stop: Shape3D, spacing_mm: Spacing3D) -> None:
    """Check that a crop can be one around anatomy, before anything is resampled to a grid of its size.

    Raises:
        UnusableFile: It measures more than `LARGEST_MM`, so the voxel size is wrong.
    """
    sides = [(last - first) * size for first, last, size in zip(start, stop, spacing_mm, strict=True)]
    if max(sides) > LARGEST_MM:
        measures = " x ".join(f"{side:.0f}" for side in sides)
        raise UnusableFile(
            VolumeCode.INVALID_AFFINE, f"measures {measures} mm, so its voxel size can't be right"
        )


def crop_slices(start: Shape3D, stop: Shape3D) -> tuple[slice, slice, slice]:
    """The crop as an index."""
    x, y, z = (slice(first, last) for first, last in zip(start, stop, strict=True))
    return x, y, z


def orientation_of(affine: NDArray[np.float64]) -> str:
    """Axis codes of an affine, for example `LPS`; an oblique one counts as its closest right-angled one."""
    return "".join(nib.aff2axcodes(affine))


def to_ras(array: NDArray[Any], orientation: str) -> NDArray[Any]:
    """Turn and flip a file's array to the closest RAS axes, without copying."""
    axes = nib.orientations.axcodes2ornt(orientation)
    return cast(NDArray[Any], nib.orientations.apply_orientation(array, axes))


def to_file_axes(
    array: NDArray[Any], start: Shape3D, stop: Shape3D, orientation: str, shape: Shape3D
) -> NDArray[Any]:
    """Put a crop in RAS orientation back into an array of its file's shape and axes, 0 outside the crop.

    Args:
        array: The crop, `(X, Y, Z)`.
        start: Its first voxel in the whole RAS volume.
        stop: One past its last.
        orientation: Axis codes of the file.
        shape: Voxels of the file.
    """
    file_axes = nib.orientations.axcodes2ornt(orientation)
    turned = np.empty(3, dtype=int)
    turned[file_axes[:, 0].astype(int)] = shape
    full = np.zeros(turned, dtype=array.dtype)
    full[crop_slices(start, stop)] = array
    to_file = nib.orientations.ornt_transform(_RAS, file_axes)
    return np.ascontiguousarray(nib.orientations.apply_orientation(full, to_file))


def spacing_ras(affine: NDArray[np.float64]) -> Spacing3D:
    """Voxel size in mm along the closest R, A and S axes."""
    axes = nib.io_orientation(affine)[:, 0].astype(int)
    spacing = np.empty(3)
    spacing[axes] = voxel_sizes(affine)
    x, y, z = spacing.tolist()
    return x, y, z


def shape_ras(shape: Shape3D, affine: NDArray[np.float64]) -> Shape3D:
    """Voxels along the closest R, A and S axes.

    Args:
        shape: Voxels in the file's own axis order.
        affine: Of the file.
    """
    axes = nib.io_orientation(affine)[:, 0].astype(int)
    turned = np.empty(3, dtype=int)
    turned[axes] = shape
    x, y, z = turned.tolist()
    return x, y, z
