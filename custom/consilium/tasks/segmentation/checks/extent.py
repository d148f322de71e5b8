"""Checks of the images' extent, slice thickness and background."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from consilium.data.finding import Finding
from consilium.tasks.segmentation.checks.view import CaseView
from consilium.tasks.segmentation.codes import VolumeCode

_BORDER_SHARE = 0.9
_THICK_RATIO = 2.5


def check_background(view: CaseView) -> Iterator[Finding]:
    """Find images whose background should be 0 and is not."""
    for name, share in filled_background(view).items():
        detail = f"{share:.0%} of the voxels on the border of the volume are nonzero."
        yield view.finding(VolumeCode.NONZERO_BACKGROUND, detail, image=name)


def check_extent(view: CaseView) -> Iterator[Finding]:
    """Find thick slices, and anatomy of a size that it can't have."""
    spacing = view.native.spacing_mm
    if max(spacing) / min(spacing) > _THICK_RATIO:
        detail = "Voxels are " + " x ".join(f"{size:.2f}" for size in spacing) + " mm."
        yield view.finding(VolumeCode.THICK_SLICES, detail, image=view.only_image)
    if not plausible_extent(view) and not filled_background(view):  # then what is nonzero has no extent
        detail = "What is nonzero measures " + " x ".join(f"{size:.0f}" for size in view.extent_mm) + " mm."
        yield view.finding(VolumeCode.IMPLAUSIBLE_SIZE, detail, image=view.only_image)


def plausible_extent(view: CaseView) -> bool:
    """Return whether the longest side of the anatomy is as long as it may be."""
    limits = view.traits.extent_mm
    return limits is None or limits[0] <= max(view.extent_mm) <= limits[1]


def filled_background(view: CaseView) -> dict[str, float]:
    """Return the images whose background is not 0 where it should be.

    Returns:
        Input to the share of the volume's border that is nonzero in it.
    """
    if not view.traits.zero_background:
        return {}
    crop = np.subtract(view.native.crop_stop, view.native.crop_start)
    if int(np.prod(crop)) != int(np.prod(view.native.file_shape)):
        return {}
    shares = {}
    for name, mask in view.foreground.items():
        faces = [mask.take(index, axis) for axis in range(3) for index in (0, -1)]
        shares[name] = sum(int(face.sum()) for face in faces) / sum(face.size for face in faces)
    return {name: share for name, share in shares.items() if share > _BORDER_SHARE}
