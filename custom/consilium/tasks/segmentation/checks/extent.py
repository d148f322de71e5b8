"""What is nonzero in the images: a whole brain, a slab of one, a head with its skull, or everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from consilium.data.checks.finding import Finding
from consilium.tasks.brain_tumor.codes import BrainCode
from consilium.tasks.segmentation.checks.subject import Subject
from consilium.tasks.segmentation.codes import VolumeCode

_BORDER_SHARE = 0.9
BRAIN_ML: Final = 2200.0
"""More than this is more than a brain."""
_BRAIN_ML_SPREAD = 400.0
HEAD_ML: Final = 3000.0
"""More than this is overwhelming evidence: half as much again as the largest brains, less than most heads."""
_EXTENT_MM = (100.0, 230.0)
_SLAB_MM = 95.0
_CUT_SHARE = 0.3
_THICK_RATIO = 2.5
_MM3_PER_ML = 1000.0


def check_skull_strip(subject: Subject) -> Iterator[Finding]:
    """Background that is not 0, and heads that are larger than a brain, image by image."""
    filled = filled_background(subject)
    for name, share in filled.items():
        detail = f"{share:.0%} of the voxels on the border of the volume are nonzero."
        yield subject.finding(VolumeCode.NONZERO_BACKGROUND, detail, modality=name)
    voxel_ml = float(np.prod(subject.native.spacing_mm)) / _MM3_PER_ML
    for name, foreground in subject.foreground.items():
        volume_ml = np.count_nonzero(foreground) * voxel_ml
        if name in filled or volume_ml <= BRAIN_ML:
            continue
        yield subject.finding(
            BrainCode.NOT_SKULL_STRIPPED,
            f"What is nonzero measures {volume_ml:.0f} mL; a brain has up to {BRAIN_ML:.0f}.",
            modality=name,
            confidence=1 - 0.5 * float(np.exp(-(volume_ml - BRAIN_ML) / _BRAIN_ML_SPREAD)),
            overwhelming=bool(volume_ml > HEAD_ML),
        )


def check_extent(subject: Subject) -> Iterator[Finding]:
    """Slices that are thick, volumes that are no brain's size, and slabs."""
    spacing = subject.native.spacing_mm
    if max(spacing) / min(spacing) > _THICK_RATIO:
        detail = "Voxels are " + " x ".join(f"{size:.2f}" for size in spacing) + " mm."
        yield subject.finding(VolumeCode.THICK_SLICES, detail, modality=subject.only_image)
    if filled_background(subject):  # then what is nonzero has no extent
        return
    extent = subject.extent_mm
    if not _EXTENT_MM[0] <= max(extent) <= _EXTENT_MM[1]:
        detail = "What is nonzero measures " + " x ".join(f"{size:.0f}" for size in extent) + " mm."
        yield subject.finding(VolumeCode.IMPLAUSIBLE_SIZE, detail, modality=subject.only_image)
    elif subject.volume_ml <= BRAIN_ML and (slab := describe_slab(subject)):  # heads reach below the brain
        yield subject.finding(BrainCode.PARTIAL_COVERAGE, slab, modality=subject.only_image)


def describe_slab(subject: Subject) -> str | None:
    """Say by what a volume is seen to hold a part of a brain; None for a whole one."""
    extent = min(subject.extent_mm)
    if extent < _SLAB_MM:
        return f"What is nonzero measures {extent:.0f} mm along its shortest side; a brain has 100 or more."
    cut = max(_cut_share(profile) for profile in subject.profiles)
    if cut > _CUT_SHARE:
        return f"The slice at one end is {cut:.0%} as large as the largest: the brain continues beyond it."
    return None


def filled_background(subject: Subject) -> dict[str, float]:
    """Images whose background is not 0, and how much of the volume's border is nonzero in each."""
    crop = np.subtract(subject.native.crop_stop, subject.native.crop_start)
    if int(np.prod(crop)) != int(np.prod(subject.native.file_shape)):
        return {}
    shares = {}
    for name, mask in subject.foreground.items():
        faces = [mask.take(index, axis) for axis in range(3) for index in (0, -1)]
        shares[name] = sum(int(face.sum()) for face in faces) / sum(face.size for face in faces)
    return {name: share for name, share in shares.items() if share > _BORDER_SHARE}


def _cut_share(profile: NDArray[np.int64]) -> float:
    """Area of the larger of the two end slices as a share of the largest slice."""
    inside = profile[profile > 0]
    return float(max(inside[0], inside[-1]) / inside.max())
