"""What one case looks like in numbers: intensities, volumes and voxels; kept, so that it is read once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from consilium.data.case import Case, CaseError, CaseProblem
from consilium.data.cohort import Cohort
from consilium.data.files import private_folder, write_atomically
from consilium.data.intensities import INTENSITY_BINS, INTENSITY_RANGE, standardize
from consilium.data.labels import LabelConvention, Tissue
from consilium.data.native import NativeCase, read_native
from consilium.data.progress import Progress
from consilium.data.source_key import source_key
from consilium.errors import Cancelled

_VERSION = 1
"""Raised when the same files would give other numbers."""

_FOLDER = "statistics"
_MM3_PER_ML = 1000.0


class CaseStatistics(BaseModel):
    """The numbers of one case. They describe one patient: they stay on the site.

    Attributes:
        spacing_mm: Voxel size along R, A and S.
        extent_mm: Size of the box around the anatomy along the same axes.
        intensity: Modality to the share of its nonzero voxels in each of `INTENSITY_BINS` bins.
        median: Modality to the median of its nonzero voxels, as stored.
        tissue_ml: Volume of each tissue in mL; None for an unlabeled case.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    spacing_mm: tuple[float, float, float]
    extent_mm: tuple[float, float, float]
    intensity: dict[str, tuple[float, ...]]
    median: dict[str, float]
    tissue_ml: dict[Tissue, float] | None


def describe_case(native: NativeCase) -> CaseStatistics:
    """Return the numbers of a case.

    Intensities are those that preprocessing makes, zero mean and unit standard deviation over the nonzero
    voxels: a scanner that differs in gain or offset alone looks the same to the network, and so it does here.
    """
    shape = np.subtract(native.crop_stop, native.crop_start)
    x, y, z = (float(value) for value in shape * native.spacing_mm)
    values = {name: array[array != 0] for name, array in native.images.items()}
    return CaseStatistics(
        spacing_mm=native.spacing_mm,
        extent_mm=(x, y, z),
        intensity={name: _shares(nonzero) for name, nonzero in values.items()},
        median={name: float(np.median(nonzero)) for name, nonzero in values.items()},
        tissue_ml=None if native.reference is None else _volumes(native.reference, native.spacing_mm),
    )


def describe_cohort(
    cohort: Cohort,
    modalities: Sequence[str],
    folder: Path,
    *,
    progress: Progress,
    cancelled: Callable[[], bool],
) -> tuple[list[tuple[Case, CaseStatistics]], list[CaseProblem]]:
    """Describe every case of a site; what was described before is not read again.

    Args:
        cohort: The site's cases.
        modalities: The images to describe.
        folder: The site's cache; one small file a case is kept in it, named by the content of its source.
        progress: Told about each case.
        cancelled: Asked before every case.

    Returns:
        The usable cases with their numbers, and the problems of the others, those of the cohort included.

    Raises:
        OSError: The folder can't be written.
        Cancelled: `cancelled` turned true. What was described is kept.
    """
    kept = private_folder(folder / _FOLDER)
    described, problems = [], list(cohort.problems)
    for done, case in enumerate(cohort.cases, start=1):
        if cancelled():
            raise Cancelled("Describing the cases was cancelled; what is ready stays in the cache.")
        try:
            described.append((case, _read_or_describe(case, cohort.convention, modalities, kept)))
        except CaseError as error:
            problems.append(error.problem)
        progress(done, len(cohort.cases), "describing cases")
    return described, problems


def _read_or_describe(
    case: Case, convention: LabelConvention | None, modalities: Sequence[str], folder: Path
) -> CaseStatistics:
    path = folder / f"{source_key(case, convention, modalities, ('statistics', _VERSION))}.json"
    try:
        return CaseStatistics.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        statistics = describe_case(read_native(case, convention, modalities))
        write_atomically(path, statistics.model_dump_json().encode(), durable=False)
        return statistics


def _shares(values: NDArray[Any]) -> tuple[float, ...]:
    inside = np.clip(standardize(values), *INTENSITY_RANGE)
    counts, _ = np.histogram(inside, bins=INTENSITY_BINS, range=INTENSITY_RANGE)
    return tuple((counts / len(values)).tolist())


def _volumes(reference: NDArray[np.uint8], spacing_mm: tuple[float, float, float]) -> dict[Tissue, float]:
    counts = np.bincount(reference.ravel(), minlength=len(Tissue))
    voxel_ml = float(np.prod(spacing_mm)) / _MM3_PER_ML
    return {tissue: int(counts[tissue]) * voxel_ml for tissue in Tissue if tissue != Tissue.BACKGROUND}
