"""All checks of one case, in groups: each group presumes that those before it cast no doubt on the case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from consilium.data.case import Case, CaseError
from consilium.data.case_boundary import case_boundary
from consilium.data.case_format import CaseFormat, Examination
from consilium.data.checks.finding import CaseCheck, Finding
from consilium.tasks.brain_tumor.checks.appearance import describe_appearance
from consilium.tasks.brain_tumor.checks.modalities import check_order
from consilium.tasks.brain_tumor.checks.placement import (
    check_label,
    check_placement,
    check_values,
    label_contrast,
)
from consilium.tasks.segmentation.checks.digests import image_digests, label_digest
from consilium.tasks.segmentation.checks.duplicates import check_duplicates
from consilium.tasks.segmentation.checks.extent import check_extent, check_skull_strip
from consilium.tasks.segmentation.checks.headers import check_headers
from consilium.tasks.segmentation.checks.intensity import check_intensities
from consilium.tasks.segmentation.checks.masks import check_mask
from consilium.tasks.segmentation.checks.outliers import check_hot_voxels, check_slices, check_stray_voxels
from consilium.tasks.segmentation.checks.registration import check_registration
from consilium.tasks.segmentation.checks.subject import Subject
from consilium.tasks.segmentation.crop import NativeCase
from consilium.tasks.segmentation.orientation import shape_ras
from consilium.tasks.segmentation.reading import read_file

CHECK_VERSION: Final = 9
"""Raised when the same files would give other findings."""

Check = Callable[[Subject], Iterator[Finding]]

CHECKS: tuple[tuple[Check, ...], ...] = (
    (
        check_intensities,
        check_hot_voxels,
        check_stray_voxels,
        check_slices,
        check_skull_strip,
        check_extent,
        check_duplicates,
        check_label,
        check_mask,
    ),
    (check_registration,),
    (check_order,),
    (check_placement,),
    (check_values,),
)
"""A new check is a function in a module of this package and an entry here."""


def check_case(case: Case, convention: str | None, case_format: CaseFormat) -> CaseCheck:
    """Read a case and run all checks on it.

    Args:
        case: The case.
        convention: What its label's values mean.
        case_format: How it is read.
    """
    return check_examined(
        case, convention, case_format.inputs, case_format.examine(case, convention, read_file)
    )


def check_examined(
    case: Case, convention: str | None, modalities: Sequence[str], examination: Examination[NativeCase]
) -> CaseCheck:
    """Run all checks on a case that was read.

    Args:
        case: The case.
        convention: What its label's values mean; may be None only for an unlabeled case.
        modalities: Canonical names of the images to check.
        examination: What reading it found.

    Returns:
        What was found; a check that fails is a finding as well, and the case is left out.
    """
    try:
        with case_boundary(case.id, case.place, "checked"):
            return _check(case, convention, modalities, examination)
    except CaseError as error:
        return CaseCheck(read=(Finding.from_problem(error.problem),))


def _check(
    case: Case, convention: str | None, modalities: Sequence[str], examination: Examination[NativeCase]
) -> CaseCheck:
    found = [Finding.from_problem(problem) for problem in examination.problems]
    found += check_headers(case, examination)
    if examination.native is None:
        parts = [
            Subject(case, part, tuple(part.images), convention, partial=True) for part in examination.parts
        ]
        return CaseCheck(
            read=tuple(found),
            seen=_run([CHECKS[0]] if len(parts) > 1 else CHECKS, parts),
            image_spacing_mm={name: part.native.spacing_mm for part in parts for name in part.modalities},
        )
    subject = Subject(case, examination.native, modalities, convention)
    return CaseCheck(
        read=tuple(found),
        seen=_run(CHECKS, [subject]),
        spacing_mm=subject.native.spacing_mm,
        image_spacing_mm=dict.fromkeys(modalities, subject.native.spacing_mm),
        shape=shape_ras(subject.native.file_shape, subject.native.file_affine),
        images=image_digests(subject),
        edges=dict(subject.edge_agreement),
        label=label_digest(subject),
        label_contrast=label_contrast(subject),
        appearance=describe_appearance(subject),
    )


def _run(groups: Sequence[Sequence[Check]], subjects: Sequence[Subject]) -> tuple[tuple[Finding, ...], ...]:
    return tuple(
        tuple(finding for subject in subjects for check in group for finding in check(subject))
        for group in groups
    )
