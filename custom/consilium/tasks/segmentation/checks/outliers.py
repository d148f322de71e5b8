"""Checks for outlying voxels and slices: overflow, wrapped numbers, spikes and specks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consilium.counts import agree, counted
from consilium.data.finding import Finding
from consilium.tasks.segmentation.checks.extent import filled_background
from consilium.tasks.segmentation.checks.limits import OutlierLimits
from consilium.tasks.segmentation.checks.view import CaseView
from consilium.tasks.segmentation.codes import VolumeCode
from consilium.tasks.segmentation.preparation.intensities import Levels, Scale

_MIN_LEVELS = 8
"""Fewer values than these leave gaps in any image."""
_LIMIT_SHARE = 0.95
"""Share of an integer type's range from which a value may have overflowed."""
_FULL_SLICE = 0.25
"""Share of the largest slice's area from which the mean of a slice is compared."""
_AXES = ("left to right", "back to front", "bottom to top")


def check_hot_voxels(view: CaseView) -> Iterator[Finding]:
    """Find voxels with values that no tissue has, in the anatomy and around it.

    Normalization clips them; of sixty that count, the rest of an image becomes flat. Intensities with a unit
    have their own limits.
    """
    limits = view.traits.outliers
    if limits is None or not view.traits.zero_background:
        return
    if filled_background(view):  # then what is measured is not anatomy, and an error says so
        return
    for name, image in view.native.images.items():
        inside, outside = view.levels[name], Levels.of(view.native.outside[name])
        low, high = _hot_range(inside, outside, view.scales[name], limits)
        apart = outside.beyond(low, high)
        count = inside.beyond(low, high) + apart
        if not count:
            continue
        total = int(inside.counts.sum() + outside.counts.sum())
        ends = ([f"below {low:g}"] if low > -np.inf else []) + ([f"above {high:g}"] if high < np.inf else [])
        detail = (
            f"{counted(count, 'voxel')}, {count / total:.2g} of the nonzero ones, are {' or '.join(ends)}"
        )
        background = apart + _in_background(view, name, low, high)
        if background:
            detail += f"; {background} of them are outside the anatomy"
        if _near_limit(image.dtype, inside, outside):
            detail += f"; {image.dtype} ends there, so numbers may have wrapped around or overflowed"
        yield view.finding(VolumeCode.HOT_VOXELS, f"{detail}.", image=name)


def check_stray_voxels(view: CaseView) -> Iterator[Finding]:
    """Find foreground apart from the anatomy, which the crop leaves out."""
    if not view.traits.zero_background:  # a table may be in view
        return
    for name, values in view.native.outside.items():
        if values.size:
            voxels = f"{counted(values.size, 'nonzero voxel')} apart from the rest"
            detail = f"{voxels} {agree(values.size, 'is', 'are')} left out."
            yield view.finding(VolumeCode.STRAY_VOXELS, detail, image=name)


def check_slices(view: CaseView) -> Iterator[Finding]:
    """Find slices that are brighter or darker than those beside them, or blank.

    Intensities with a unit don't drift from slice to slice.
    """
    limits = view.traits.outliers
    if limits is None or not view.measurable or not view.traits.zero_background:
        return
    for name, image in view.native.images.items():
        scale = view.scales[name]
        if image.min() < scale.low or image.max() > scale.high:
            image = np.clip(image, scale.low, scale.high)
        for axis, direction in enumerate(_AXES):
            others = tuple(other for other in range(3) if other != axis)
            area = view.anatomy.sum(axis=others, dtype=np.int64)
            full = np.flatnonzero(area >= _FULL_SLICE * area.max())
            level = image.sum(axis=others, dtype=np.float64)[full] / area[full]
            odd = np.flatnonzero(np.abs(level - _beside(level)) > limits.odd_slice * scale.std)
            if odd.size:
                slices = f"{counted(odd.size, 'slice')} {agree(odd.size, 'differs', 'differ')}"
                detail = (
                    f"{slices} in brightness from those on either side, the first is number "
                    f"{view.native.crop_start[axis] + full[odd[0]]} from {direction}."
                )
                yield view.finding(VolumeCode.ODD_SLICE, detail, image=name)
                break


def _hot_range(inside: Levels, outside: Levels, scale: Scale, limits: OutlierLimits) -> tuple[float, float]:
    """The values beyond which voxels are hot; infinite where none is."""
    ends = [*inside.values[[0, -1]], *outside.values[:1], *outside.values[-1:]]
    if min(ends) < scale.low or max(ends) > scale.high:
        reach = limits.far * max(scale.bright - scale.median, scale.median - scale.dark)
        farthest = max(max(ends) - scale.median, scale.median - min(ends))
        if farthest > reach or inside.std() > limits.flattened * scale.std:
            return scale.low, scale.high
    return _beyond_gap(inside, limits.gap)


def _beyond_gap(levels: Levels, gap: float) -> tuple[float, float]:
    """The smaller one of two groups of values, if most of the range is empty between them."""
    if levels.values.size < _MIN_LEVELS:
        return -np.inf, np.inf
    gaps = np.diff(levels.values)
    widest = int(gaps.argmax())
    if gaps[widest] <= gap * gaps.sum():
        return -np.inf, np.inf
    border = float(levels.values[widest] + gaps[widest] / 2)
    below, above = levels.beyond(border, np.inf), levels.beyond(-np.inf, border)
    return (border, np.inf) if below < above else (-np.inf, border)


def _in_background(view: CaseView, name: str, low: float, high: float) -> int:
    """Hot voxels of the crop where every other image is 0."""
    others = [mask for other, mask in view.foreground.items() if other != name]
    if not others:
        return 0
    image = view.native.images[name]
    hot = ((image < low) | (image > high)) & view.foreground[name]
    return int(np.count_nonzero(hot & ~np.logical_or.reduce(others)))


def _near_limit(dtype: np.dtype[Any], *parts: Levels) -> bool:
    """Whether an image's extreme values are about the last that its integers can hold."""
    if dtype.kind not in "iu":
        return False
    limits = np.iinfo(dtype)
    values = [value for levels in parts for value in (*levels.values[:1], *levels.values[-1:])]
    return bool(max(values) >= _LIMIT_SHARE * limits.max or min(values) <= min(_LIMIT_SHARE * limits.min, -1))


def _beside(level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of the two slices before and the two after each; of fewer at the ends."""
    padded = np.pad(level, 2, constant_values=np.nan)
    around = np.stack([padded[shift : shift + level.size] for shift in (0, 1, 3, 4)])
    return np.asarray(np.nanmedian(around, axis=0)) if level.size > 1 else level
