"""View of a brain for checks: tumor tissues, completeness and contrasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from consilium.tasks.brain_tumor.label_conventions import LabelConvention, Tissue
from consilium.tasks.segmentation.checks.view import BoolMap, CaseView, FloatMap

_SLAB_MM = 95.0
_CUT_SHARE = 0.3
_TUMOR = (Tissue.NECROTIC_CORE, Tissue.EDEMA, Tissue.ENHANCING)


@dataclass(frozen=True)
class BrainView(CaseView):
    """A case whose images show a brain, alone in a volume of 0."""

    @cached_property
    def tissues(self) -> Mapping[Tissue, FloatMap]:
        """Tissue to its share of each coarse voxel; empty without a label."""
        reference = self.native.reference
        if reference is None:
            return {}
        return {tissue: self.coarsen(reference == tissue) for tissue in _TUMOR}

    @cached_property
    def marked(self) -> BoolMap:
        """Coarse voxels of which most is tumor, the cavity of an operation not counted."""
        if not self.tissues:
            return np.zeros(self.inside.shape, dtype=bool)
        return cast(BoolMap, np.add.reduce(list(self.tissues.values())) > 0.5)

    @property
    def may_be_empty(self) -> bool:
        """Whether a label may mark nothing: after treatment nothing may be left."""
        return self.convention == LabelConvention.BRATS_2024

    @property
    def whole(self) -> bool:
        """Whether the whole brain is in view."""
        return describe_slab(self) is None


def describe_slab(view: BrainView) -> str | None:
    """Say by what a volume is seen to hold a part of a brain; None for a whole one."""
    extent = min(view.extent_mm)
    if extent < _SLAB_MM:
        return f"What is nonzero measures {extent:.0f} mm along its shortest side; a brain has 100 or more."
    cut = max(_cut_share(profile) for profile in view.profiles)
    if cut > _CUT_SHARE:
        return f"The slice at one end is {cut:.0%} as large as the largest: the brain continues beyond it."
    return None


def _cut_share(profile: NDArray[np.int64]) -> float:
    """Area of the larger of the two end slices as a share of the largest slice."""
    inside = profile[profile > 0]
    return float(max(inside[0], inside[-1]) / inside.max())


MIN_TUMOR_VOXELS: Final = 30
"""Coarse voxels of tumor below which nothing is said about its contrast."""


def shell_of(tumor: BoolMap) -> BoolMap:
    """The two layers of voxels around a tumor, one voxel away from it."""
    return ndimage.binary_dilation(tumor, iterations=3) & ~ndimage.binary_dilation(tumor)


def tumor_contrast(view: BrainView, names: Sequence[str]) -> float | None:
    """How far the labeled tumor stands out from its surroundings in the sum of some images.

    Args:
        view: The case.
        names: The images.

    Returns:
        Difference of the means in interquartile ranges; None where there is too little brain or tumor.
    """
    if not view.measurable or int(view.marked.sum()) < MIN_TUMOR_VOXELS:
        return None
    inside, outside = view.marked & view.inside, shell_of(view.marked) & view.inside
    if not inside.any() or not outside.any():
        return None
    return sum(
        float(view.contrast[name][inside].mean() - view.contrast[name][outside].mean()) for name in names
    )
