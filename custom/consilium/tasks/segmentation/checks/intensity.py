"""Checks of intensities: traces of an exporter or a viewer's window, and constant images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consilium.data.finding import Finding
from consilium.tasks.segmentation.checks.extent import filled_background
from consilium.tasks.segmentation.checks.view import CaseView
from consilium.tasks.segmentation.codes import VolumeCode

_NEGATIVE_SHARE = 1e-4
_CLIPPED_SHARE = 5e-3
"""Share of the nonzero voxels with the largest value, which a few voxels of any unclipped image have."""
_GRAY_LEVELS = 256
_MAX_LEVEL = 255
_SAMPLE_STEP = 4
_COMMON_SHARE = 0.3
"""Share of the nonzero voxels with one value. Noise spreads any tissue over many values: such an image was
overwritten, or has no contrast, whatever it shows."""


def check_intensities(view: CaseView) -> Iterator[Finding]:
    """Find negative, clipped and eight-bit images, and those of which many voxels have one value."""
    # One image may end at 255 by chance; two of a case do so when something saved them as bytes.
    tops = {name: image.max() for name, image in view.native.images.items()}
    windowed = sum(float(top) == _MAX_LEVEL for top in tops.values())
    filled = filled_background(view)  # that is an error of its own
    for name, image in view.native.images.items():
        levels = view.levels[name]
        common = int(levels.counts.argmax())
        alike = float(levels.counts[common] / levels.counts.sum())
        if alike > _COMMON_SHARE and name not in filled:
            detail = f"{alike:.1%} of the nonzero voxels are {levels.values[common]:g}."
            yield view.finding(VolumeCode.LITTLE_CONTRAST, detail, image=name)
        nonzero, top = np.count_nonzero(view.foreground[name]), tops[name]
        if top > view.scales[name].high:  # a hot voxel doesn't hide that the others end at one value
            top = image[image <= view.scales[name].high].max()
        negative = np.count_nonzero(image < 0) / nonzero
        if negative > _NEGATIVE_SHARE and view.traits.zero_background:
            detail = f"{negative:.1%} of the nonzero voxels are negative."
            yield view.finding(VolumeCode.NEGATIVE_INTENSITY, detail, image=name)
        clipped = np.count_nonzero(image == top) / nonzero if top else 0.0
        if clipped > _CLIPPED_SHARE and view.measurable:
            detail = f"{clipped:.1%} of the nonzero voxels have the largest value, {top:g}."
            yield view.finding(VolumeCode.CLIPPED_INTENSITY, detail, image=name)
        if view.measurable and (image.dtype.itemsize == 1 or windowed > 1 or _is_scaled_byte(image)):
            yield view.finding(
                VolumeCode.EIGHT_BIT, f"It has at most {_GRAY_LEVELS} gray levels.", image=name
            )


def _is_scaled_byte(image: NDArray[Any]) -> bool:
    """Whether the nonzero values once were bytes: few levels, with wide or fractional gaps between them."""
    sample = image[(slice(None, None, _SAMPLE_STEP),) * 3]
    if np.unique(sample).size > _GRAY_LEVELS + 1:
        return False
    levels = np.unique(image[image != 0])
    gap = float(np.median(np.diff(levels))) if levels.size > 1 else 1.0
    return levels.size <= _GRAY_LEVELS and (gap > 1.0 or not bool((levels == np.round(levels)).all()))
