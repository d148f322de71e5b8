"""Check that the images of a case are on the same grid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from consilium.data.problem_code import ProblemCode
from consilium.tasks.segmentation.codes import VolumeCode
from consilium.tasks.segmentation.nifti.reading import StoredVolume
from consilium.tasks.segmentation.orientation import spacing_ras

_AFFINE_TOLERANCE_VOXELS: Final = 0.25
"""Images of one case may disagree in position by this share of a voxel: rounding does, misregistration does
not."""


def check_grid(
    path: Path, placed: StoredVolume, first: StoredVolume | None, *, label: bool = False
) -> Iterator[tuple[ProblemCode, str]]:
    """Find whether an image or label has another shape or position than the first image.

    Args:
        path: Its file, for the finding.
        placed: The image.
        first: The first image of the case; None where none can be read.
        label: Whether it is a label.
    """
    if first is None:
        return
    shape = placed.array.shape
    if shape != first.array.shape:
        yield (
            VolumeCode.SHAPE_MISMATCH,
            f"{path} has the shape {shape}, the first image {first.array.shape}.",
        )
        return
    corners = np.stack([*np.meshgrid(*((0, size - 1) for size in shape)), np.ones((2, 2, 2))]).reshape(4, 8)
    shift = np.linalg.norm(((placed.affine - first.affine) @ corners)[:3], axis=0).max()
    if not shift > _AFFINE_TOLERANCE_VOXELS * min(spacing_ras(first.affine)):
        return
    if label and _has_no_position(placed):
        yield VolumeCode.LABEL_WITHOUT_POSITION, f"{path} has the images' shape and no position of its own."
    else:
        yield VolumeCode.AFFINE_MISMATCH, f"{path} lies up to {shift:.2f} mm away from the first image."


def _has_no_position(placed: StoredVolume) -> bool:
    """Whether a file states no position, or the one that software writes where it is given none.

    An array saved with an identity matrix has voxels of 1 mm and its corner at the origin; ITK, whose axes
    point to the left and to the back, writes -1, -1, 1 for it.
    """
    if not int(placed.header["sform_code"]) and not int(placed.header["qform_code"]):
        return True
    return any(np.allclose(placed.affine, np.diag(signs)) for signs in ((1, 1, 1, 1), (-1, -1, 1, 1)))
