"""What one case looks like in numbers: intensities, volumes and voxels; kept, so that it is read once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from consilium.data.case import Case
from consilium.data.case_boundary import case_boundary
from consilium.data.case_format import Examination
from consilium.data.case_products import CaseProduct
from consilium.data.files import private_folder
from consilium.data.sealed import read_sealed, write_sealed
from consilium.tasks.brain_tumor.labels import Tissue
from consilium.tasks.segmentation.crop import NativeCase
from consilium.tasks.segmentation.intensities import INTENSITY_BINS, INTENSITY_RANGE, standardize

_VERSION: Final = 4
"""Raised when the same files would give other numbers."""

_FOLDER: Final = "statistics"
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


@dataclass(frozen=True)
class KeptStatistics(CaseProduct[CaseStatistics]):
    """The numbers of cases, one small file each.

    Args:
        folder: The site's cache.
    """

    step = "describing cases"

    folder: Path

    def begin(self, keys: Collection[str]) -> None:
        """Make the folder."""
        private_folder(self.folder / _FOLDER)

    def recall(self, key: str, case: Case, convention: str | None) -> CaseStatistics | None:
        """The numbers of these files."""
        return read_sealed(self._path(key), CaseStatistics)

    def make(
        self, key: str | None, case: Case, convention: str | None, examination: Examination[NativeCase]
    ) -> CaseStatistics:
        """Work the numbers out and keep them."""
        native = examination.require_native()
        with case_boundary(case.id, case.place, "described"):
            statistics = describe_case(native)
        if key is not None:
            write_sealed(self._path(key), statistics)
        return statistics

    def _path(self, key: str) -> Path:
        return self.folder / _FOLDER / f"{key}-{_VERSION}.json"


def _shares(values: NDArray[Any]) -> tuple[float, ...]:
    inside = np.clip(standardize(values), *INTENSITY_RANGE)
    counts, _ = np.histogram(inside, bins=INTENSITY_BINS, range=INTENSITY_RANGE)
    return tuple((counts / len(values)).tolist())


def _volumes(reference: NDArray[np.uint8], spacing_mm: tuple[float, float, float]) -> dict[Tissue, float]:
    counts = np.bincount(reference.ravel(), minlength=len(Tissue))
    voxel_ml = float(np.prod(spacing_mm)) / _MM3_PER_ML
    return {tissue: int(counts[tissue]) * voxel_ml for tissue in Tissue if tissue != Tissue.BACKGROUND}
