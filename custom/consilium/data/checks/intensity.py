"""Intensities and grids: what an exporter, a viewer's window or a forgotten skull-strip leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consilium.data.checks.finding import Finding
from consilium.data.checks.subject import BoolMap, Subject
from consilium.data.codes import ProblemCode

_NEGATIVE_SHARE = 1e-4
_CLIPPED_SHARE = 5e-3
_GRAY_LEVELS = 256
_MAX_LEVEL = 255
_SAMPLE_STEP = 4
_BORDER_SHARE = 0.9
_BRAIN_ML = 2200.0
_BRAIN_ML_SPREAD = 400.0
_EXTENT_MM = (100.0, 230.0)
_SLAB_MM = 95.0
_CUT_SHARE = 0.3
_THICK_RATIO = 2.5


def check_intensities(subject: Subject) -> Iterator[Finding]:
    """Negative, clipped and eight-bit images."""
    # One image may end at 255 by chance; two of a case do so when something saved them as bytes.
    tops = {name: image.max() for name, image in subject.native.images.items()}
    windowed = sum(float(top) == _MAX_LEVEL for top in tops.values())
    for name, image in subject.native.images.items():
        nonzero, top = np.count_nonzero(subject.foreground[name]), tops[name]
        if top > subject.scales[name].high:  # a hot voxel doesn't hide that the others end at one value
            top = image[image <= subject.scales[name].high].max()
        negative = np.count_nonzero(image < 0) / nonzero
        if negative > _NEGATIVE_SHARE:
            detail = f"{negative:.1%} of the nonzero voxels are negative."
            yield subject.finding(ProblemCode.NEGATIVE_INTENSITY, detail, modality=name)
        clipped = np.count_nonzero(image == top) / nonzero if top else 0.0
        if clipped > _CLIPPED_SHARE and subject.judgeable:
            detail = f"{clipped:.1%} of the nonzero voxels have the largest value, {top:g}."
            yield subject.finding(ProblemCode.CLIPPED_INTENSITY, detail, modality=name)
        if subject.judgeable and (image.dtype.itemsize == 1 or windowed > 1 or _is_scaled_byte(image)):
            yield subject.finding(
                ProblemCode.EIGHT_BIT, f"It has at most {_GRAY_LEVELS} gray levels.", modality=name
            )


def check_skull_strip(subject: Subject) -> Iterator[Finding]:
    """Background that is not 0, and heads that are larger than a brain."""
    for name, share in filled_background(subject).items():
        detail = f"{share:.0%} of the voxels on the border of the volume are nonzero."
        yield subject.finding(ProblemCode.NONZERO_BACKGROUND, detail, modality=name)
        return
    if subject.volume_ml > _BRAIN_ML:
        confidence = 1 - 0.5 * float(np.exp(-(subject.volume_ml - _BRAIN_ML) / _BRAIN_ML_SPREAD))
        detail = f"What is nonzero measures {subject.volume_ml:.0f} mL; a brain has up to {_BRAIN_ML:.0f}."
        yield subject.finding(ProblemCode.NOT_SKULL_STRIPPED, detail, confidence=confidence)


def check_extent(subject: Subject) -> Iterator[Finding]:
    """Slices that are thick, volumes that are no brain's size, and slabs."""
    spacing = subject.native.spacing_mm
    if max(spacing) / min(spacing) > _THICK_RATIO:
        detail = "Voxels are " + " x ".join(f"{size:.2f}" for size in spacing) + " mm."
        yield subject.finding(ProblemCode.THICK_SLICES, detail)
    if filled_background(subject):  # then what is nonzero has no extent
        return
    profiles = _profiles(subject.head)
    extent = [np.count_nonzero(profile) * size for profile, size in zip(profiles, spacing, strict=True)]
    if not _EXTENT_MM[0] <= max(extent) <= _EXTENT_MM[1]:
        detail = "What is nonzero measures " + " x ".join(f"{size:.0f}" for size in extent) + " mm."
        yield subject.finding(ProblemCode.IMPLAUSIBLE_SIZE, detail)
        return
    cut = max(_cut_share(profile) for profile in profiles)
    if min(extent) < _SLAB_MM or cut > _CUT_SHARE:
        detail = f"It covers {min(extent):.0f} mm, and a slice at its end is {cut:.0%} of the largest."
        yield subject.finding(ProblemCode.PARTIAL_COVERAGE, detail)


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


def _is_scaled_byte(image: NDArray[Any]) -> bool:
    """Whether the nonzero values once were bytes: few levels, with wide or fractional gaps between them."""
    sample = image[(slice(None, None, _SAMPLE_STEP),) * 3]
    if np.unique(sample).size > _GRAY_LEVELS + 1:
        return False
    levels = np.unique(image[image != 0])
    gap = float(np.median(np.diff(levels))) if levels.size > 1 else 1.0
    return levels.size <= _GRAY_LEVELS and (gap > 1.0 or not bool((levels == np.round(levels)).all()))


def _profiles(head: BoolMap) -> list[NDArray[np.int64]]:
    """Nonzero voxels in each slice along each axis."""
    rows = head.sum(axis=2, dtype=np.int64)
    return [rows.sum(axis=1), rows.sum(axis=0), head.sum(axis=(0, 1), dtype=np.int64)]


def _cut_share(profile: NDArray[np.int64]) -> float:
    """Area of the larger of the two end slices as a share of the largest slice."""
    inside = profile[profile > 0]
    return float(max(inside[0], inside[-1]) / inside.max())
