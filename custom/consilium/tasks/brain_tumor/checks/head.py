"""Checks of the images' content: a whole brain, a slab, or a head with skull; labels that cover it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from consilium.data.finding import Finding
from consilium.tasks.brain_tumor.checks.brain import BrainView, describe_slab
from consilium.tasks.brain_tumor.codes import BrainCode
from consilium.tasks.segmentation.checks.extent import filled_background, plausible_extent

BRAIN_ML: Final = 2200.0
"""More than this is more than a brain."""
_BRAIN_ML_SPREAD = 400.0
HEAD_ML: Final = 3000.0
"""More than this is overwhelming evidence: half as much again as the largest brains, less than most heads."""
_MM3_PER_ML = 1000.0
_COVERED = 0.5
"""Share of the brain beyond which a label is looked at: the largest gliomas have less than a third of it."""
_LARGE_ML = 500.0
_SURELY_COVERED = 0.85
_SURELY_LARGE_ML = 800.0
"""Overwhelming, in a whole brain: a label that is nearly all of it, or more than half of the largest ones. In
three real patients labels have 2 to 24 %, the last of a slab."""


def check_skull_strip(view: BrainView) -> Iterator[Finding]:
    """Find what is larger than a brain, image by image: a head with its skull."""
    filled = filled_background(view)
    voxel_ml = float(np.prod(view.native.spacing_mm)) / _MM3_PER_ML
    for name, foreground in view.foreground.items():
        volume_ml = np.count_nonzero(foreground) * voxel_ml
        if name in filled or volume_ml <= BRAIN_ML:
            continue
        yield view.finding(
            BrainCode.NOT_SKULL_STRIPPED,
            f"What is nonzero measures {volume_ml:.0f} mL; a brain has up to {BRAIN_ML:.0f}.",
            image=name,
            confidence=1 - 0.5 * float(np.exp(-(volume_ml - BRAIN_ML) / _BRAIN_ML_SPREAD)),
            overwhelming=bool(volume_ml > HEAD_ML),
        )


def check_coverage(view: BrainView) -> Iterator[Finding]:
    """Find slabs."""
    if filled_background(view) or not plausible_extent(view):
        return
    if view.volume_ml <= BRAIN_ML and (slab := describe_slab(view)):  # heads reach below the brain
        yield view.finding(BrainCode.PARTIAL_COVERAGE, slab, image=view.only_image)


def check_mask(view: BrainView) -> Iterator[Finding]:
    """Labels that mark the whole brain: a brain mask (1) or a map of tissues (1, 2, 3) in a tumor's place."""
    reference = view.native.reference
    if reference is None:
        return
    marked = reference != 0
    count = int(np.count_nonzero(marked))
    volume_ml = count * float(np.prod(view.native.spacing_mm)) / 1000
    head = int(np.count_nonzero(view.anatomy))
    covered = int(np.count_nonzero(marked & view.anatomy)) / max(head, 1)
    if covered <= _COVERED and volume_ml <= _LARGE_ML:
        return
    whole = view.measurable and view.whole
    yield view.finding(
        BrainCode.LABEL_COVERS_BRAIN,
        f"It marks {covered:.0%} of what is nonzero, {volume_ml:.0f} mL.",
        confidence=min(1.0, max(covered, volume_ml / _SURELY_LARGE_ML)),
        overwhelming=volume_ml > _SURELY_LARGE_ML or (whole and covered > _SURELY_COVERED),
    )
