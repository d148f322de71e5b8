"""Checks of brain tumor cases: those of any volume, and those of brain MRI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from consilium.tasks.brain_tumor.checks.appearance import SAME, alike, describe_appearance, similarity
from consilium.tasks.brain_tumor.checks.brain import BrainView
from consilium.tasks.brain_tumor.checks.head import check_coverage, check_mask, check_skull_strip
from consilium.tasks.brain_tumor.checks.limits import BRAIN_OUTLIERS, BRAIN_REGISTRATION
from consilium.tasks.brain_tumor.checks.modalities import check_order
from consilium.tasks.brain_tumor.checks.placement import (
    check_inside,
    check_placement,
    check_values,
    label_contrast,
)
from consilium.tasks.segmentation.checks.case import CheckGroups, VolumeChecks, check_empty
from consilium.tasks.segmentation.checks.copies import check_duplicates
from consilium.tasks.segmentation.checks.extent import check_background, check_extent
from consilium.tasks.segmentation.checks.intensity import check_intensities
from consilium.tasks.segmentation.checks.outliers import check_hot_voxels, check_slices, check_stray_voxels
from consilium.tasks.segmentation.checks.registration import check_registration
from consilium.tasks.segmentation.checks.view import VolumeTraits
from consilium.tasks.segmentation.preparation.normalization import StandardizedForeground

BRAIN_CHECK_VERSION: Final = 1
"""Raised when the same files would give other findings of a brain."""

BRAIN_GROUPS: Final[CheckGroups[BrainView]] = (
    (
        check_intensities,
        check_hot_voxels,
        check_stray_voxels,
        check_slices,
        check_background,
        check_skull_strip,
        check_extent,
        check_coverage,
        check_duplicates,
        check_empty,
        check_inside,
        check_mask,
    ),
    (check_registration,),
    (check_order,),
    (check_placement,),
    (check_values,),
)
"""A new check is a function in a module of this package and an entry here."""


@dataclass(frozen=True)
class BrainChecks(VolumeChecks[BrainView]):
    """The checks of brain tumor cases."""

    @property
    def version(self) -> str:
        """Another one where the same files would give other findings."""
        return f"{super().version} brain {BRAIN_CHECK_VERSION}"

    def label_fit(self, view: BrainView) -> float | None:
        """Return how far what the label marks stands out in FLAIR and T2."""
        return label_contrast(view)

    def describe(self, view: BrainView) -> str | None:
        """Return what the head looks like."""
        return describe_appearance(view)

    def alike(self, appearances: Mapping[str, str]) -> Iterator[tuple[str, str, float]]:
        """Find heads that may be one, rotated or resampled."""
        return alike(appearances)

    def same(self, one: str, other: str) -> bool:
        """Return whether two heads look alike in every image."""
        return bool(similarity(one, other).min() >= SAME)


CHECKS: Final = BrainChecks(
    VolumeTraits(
        StandardizedForeground(),
        extent_mm=(100.0, 230.0),
        outliers=BRAIN_OUTLIERS,
        registration=BRAIN_REGISTRATION,
    ),
    BrainView,
    BRAIN_GROUPS,
)
"""The checks of the task."""
