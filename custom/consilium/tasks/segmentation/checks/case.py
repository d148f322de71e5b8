"""Checks of a volumetric problem: those of any volume, and its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Generic, TypeVar

import numpy as np
from pydantic import BaseModel, Field

from consilium.data.case import Case
from consilium.data.case_check import CaseCheck, ImageSize
from consilium.data.case_preparation import Examination
from consilium.data.checks.exclusion import CheckedCohort
from consilium.data.checks.single_case import run_groups
from consilium.data.finding import Finding
from consilium.tasks.segmentation.checks.copies import check_duplicates, image_digests, label_digest
from consilium.tasks.segmentation.checks.extent import check_background, check_extent
from consilium.tasks.segmentation.checks.headers import check_headers
from consilium.tasks.segmentation.checks.intensity import check_intensities
from consilium.tasks.segmentation.checks.outliers import check_hot_voxels, check_slices, check_stray_voxels
from consilium.tasks.segmentation.checks.registration import check_registration
from consilium.tasks.segmentation.checks.view import CaseView, VolumeTraits
from consilium.tasks.segmentation.codes import VolumeCode
from consilium.tasks.segmentation.orientation import Shape3D, Spacing3D, shape_ras
from consilium.tasks.segmentation.preparation.crop import NativeCase
from consilium.tasks.segmentation.preparation.normalization import Normalization
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings

CHECK_VERSION: Final = 11
"""Raised when the same files would give other findings of any volume."""

_SAME_SPACING_MM = 1e-3

ViewT = TypeVar("ViewT", bound=CaseView)

CheckGroups = Sequence[Sequence[Callable[[ViewT], Iterator[Finding]]]]
"""Checks in groups: each group presumes that those before it cast no doubt on the case."""


def check_empty(view: CaseView) -> Iterator[Finding]:
    """Find empty labels."""
    reference = view.native.reference
    if reference is not None and not view.may_be_empty and not reference.any():
        yield view.finding(VolumeCode.EMPTY_LABEL, "Every voxel of the label is 0.")


VOLUME_CHECKS: Final[CheckGroups[CaseView]] = (
    (
        check_intensities,
        check_hot_voxels,
        check_stray_voxels,
        check_slices,
        check_background,
        check_extent,
        check_duplicates,
        check_empty,
    ),
    (check_registration,),
)
"""What is checked in any volume."""


class VolumeCheck(CaseCheck):
    """Stored result of checked volumes.

    Attributes:
        spacing_mm: Voxel size along R, A and S; None where the case can't be read.
        image_spacing_mm: Input to voxel size, of each image that can be read.
        shape: Voxels along R, A and S; None where the case can't be read.
    """

    spacing_mm: Spacing3D | None = None
    image_spacing_mm: Mapping[str, Spacing3D] = Field(default_factory=dict)
    shape: Shape3D | None = None

    @property
    def image_size(self) -> ImageSize | None:
        """Voxels and their edges along R, A and S."""
        return ImageSize(self.shape, self.spacing_mm) if self.shape and self.spacing_mm else None


@dataclass(frozen=True)
class VolumeChecks(Generic[ViewT]):
    """The checks of a volumetric problem; a `CaseChecks`.

    A problem that knows what its images show has a view and groups of its own, and a subclass that compares
    what they show; see `plain_checks` for one that doesn't.

    Args:
        traits: What the problem knows of its images.
        view_type: A case as the checks see it.
        groups: What is checked.
    """

    traits: VolumeTraits
    view_type: type[ViewT]
    groups: CheckGroups[ViewT]

    check_type: ClassVar[type[CaseCheck]] = VolumeCheck

    @property
    def version(self) -> str:
        """Another one where the same files would give other findings."""
        traits = self.traits
        return (
            f"{CHECK_VERSION} {traits.normalization.fingerprint} {traits.extent_mm} {traits.min_ml} "
            f"{traits.outliers} {traits.registration}"
        )

    def check(
        self,
        case: Case,
        convention: str | None,
        inputs: Sequence[str],
        examination: Examination[NativeCase],
    ) -> VolumeCheck:
        """Run all checks on a case that was read, or on what can be looked at of one that can't be used."""
        read = list(examination.problems)
        read += check_headers(case, examination)
        if examination.native is None:
            parts = [
                self.view(case, part, tuple(part.images), convention, partial=True)
                for part in examination.parts
            ]
            return VolumeCheck(
                read=tuple(read),
                seen=run_groups(self.groups[:1] if len(parts) > 1 else self.groups, parts),
                image_spacing_mm={name: part.native.spacing_mm for part in parts for name in part.inputs},
            )
        inputs = tuple(examination.native.images)  # all that it has: some may be missing
        view = self.view(case, examination.native, inputs, convention)
        return VolumeCheck(
            read=tuple(read),
            seen=run_groups(self.groups, [view]),
            spacing_mm=view.native.spacing_mm,
            image_spacing_mm=dict.fromkeys(inputs, view.native.spacing_mm),
            shape=shape_ras(view.native.file_shape, view.native.file_affine),
            images=image_digests(view),
            fits=dict(view.edge_agreement),
            label=label_digest(view),
            label_fit=self.label_fit(view),
            appearance=self.describe(view),
        )

    def view(
        self,
        case: Case,
        native: NativeCase,
        inputs: Sequence[str],
        convention: str | None,
        *,
        partial: bool = False,
    ) -> ViewT:
        """Return a case, or a part of one, as the checks see it."""
        return self.view_type(case, native, inputs, convention, self.traits, partial)

    def against_job(self, checks: Mapping[str, CaseCheck], learning: BaseModel) -> Iterator[Finding]:
        """Find cases that are resampled, because their voxels are not of the job's size."""
        if not isinstance(learning, SegmentationSettings):
            return
        for case_id, check in sorted(checks.items()):
            by_image = check.image_spacing_mm if isinstance(check, VolumeCheck) else {}
            alike = len(set(by_image.values())) == 1
            for name, spacing in by_image.items():
                if np.abs(np.subtract(spacing, learning.spacing_mm)).max() > _SAME_SPACING_MM:
                    sizes = " x ".join(f"{size:.2f}" for size in spacing)
                    yield Finding(
                        code=VolumeCode.OTHER_SPACING,
                        case_id=case_id,
                        image=None if alike else name,
                        detail=f"Voxels are {sizes} mm; the job's are {learning.spacing_text}.",
                    )
                if alike:
                    break

    def label_fit(self, view: ViewT) -> float | None:
        """Return how well the label fits the images; None where nothing says so."""
        return None

    def describe(self, view: ViewT) -> str | None:
        """Return what the images show, for `alike` and `same`; None where they can't be compared."""
        return None

    def alike(self, appearances: Mapping[str, str]) -> Iterator[tuple[str, str, float]]:
        """Find cases that may show one patient."""
        yield from ()

    def same(self, one: str, other: str) -> bool:
        """Return whether two appearances can only be of one examination."""
        return False


def plain_checks(normalization: Normalization) -> VolumeChecks[CaseView]:
    """Return the checks of a problem of one image with a unit of intensity, and of any extent."""
    return VolumeChecks(VolumeTraits(normalization), CaseView, VOLUME_CHECKS)


def volume_of(checked: CheckedCohort, case_id: str) -> VolumeCheck | None:
    """Return what is kept of a case of volumes, its voxel size and shape among it; None of any other."""
    check = checked.checks.get(case_id)
    return check if isinstance(check, VolumeCheck) else None
