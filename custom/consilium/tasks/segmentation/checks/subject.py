"""A case as the checks of its content see it: native voxels, and coarse maps that statistics run on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from consilium.data.case import Case
from consilium.data.checks.finding import Finding
from consilium.data.codes import ProblemCode
from consilium.tasks.brain_tumor.labels import Tissue
from consilium.tasks.segmentation.crop import NativeCase
from consilium.tasks.segmentation.intensities import Levels, Scale

FloatMap = NDArray[np.float32]
BoolMap = NDArray[np.bool_]

COARSE_MM: Final = 3.0
"""Voxel size, or a little more, of the maps that statistics run on."""

MIN_BRAIN_ML: Final = 150.0
"""With less brain than this in view, statistics of a brain mean nothing."""

_MIN_BRAIN_VOXELS = 1500
_TUMOR = (Tissue.NECROTIC_CORE, Tissue.EDEMA, Tissue.ENHANCING)
_CONTRAST_LIMIT = 4.0
# Brings the darkest tissue above the background, so that the outline of the brain is an edge too.
_LIFT = 5.0
_MM3_PER_ML = 1000.0


@dataclass(frozen=True)
class Subject:
    """A case without any problem of reading.

    Args:
        case: The case.
        native: Its voxels.
        modalities: The images, in the task's order.
        convention: What the label's values mean.
        partial: Whether it is a part of a case that can't be used as a whole.
    """

    case: Case
    native: NativeCase
    modalities: Sequence[str]
    convention: str | None
    partial: bool = False

    def finding(
        self,
        code: ProblemCode,
        detail: str,
        *,
        modality: str | None = None,
        confidence: float | None = None,
        overwhelming: bool = False,
    ) -> Finding:
        """A finding about this case."""
        return Finding(
            code=code,
            case_id=self.case.id,
            modality=modality,
            detail=detail,
            confidence=confidence,
            overwhelming=overwhelming,
        )

    @cached_property
    def only_image(self) -> str | None:
        """The modality of a part that is a single image: what is seen in its voxels is about this one."""
        return next(iter(self.modalities)) if self.partial and len(self.modalities) == 1 else None

    @cached_property
    def foreground(self) -> Mapping[str, BoolMap]:
        """Modality to where it is nonzero, on the native crop."""
        return {name: image != 0 for name, image in self.native.images.items()}

    @cached_property
    def scales(self) -> Mapping[str, Scale]:
        """Modality to how its nonzero voxels are spread, whatever a few of them hold."""
        return {name: Scale.of(levels) for name, levels in self.levels.items()}

    @cached_property
    def levels(self) -> Mapping[str, Levels]:
        """Modality to the values of its nonzero voxels in the crop."""
        return {name: Levels.of(image[self.foreground[name]]) for name, image in self.native.images.items()}

    @cached_property
    def head(self) -> BoolMap:
        """Where any modality is nonzero, on the native crop."""
        return reduce(np.logical_or, self.foreground.values())

    @cached_property
    def volume_ml(self) -> float:
        """Volume in which any modality is nonzero."""
        return float(np.count_nonzero(self.head) * np.prod(self.native.spacing_mm) / _MM3_PER_ML)

    @cached_property
    def profiles(self) -> list[NDArray[np.int64]]:
        """Nonzero voxels in each slice along each axis, on the native crop."""
        rows = self.head.sum(axis=2, dtype=np.int64)
        return [rows.sum(axis=1), rows.sum(axis=0), self.head.sum(axis=(0, 1), dtype=np.int64)]

    @cached_property
    def extent_mm(self) -> tuple[float, float, float]:
        """Size of what is nonzero, along each axis."""
        x, y, z = (
            float(np.count_nonzero(profile) * size)
            for profile, size in zip(self.profiles, self.native.spacing_mm, strict=True)
        )
        return x, y, z

    @cached_property
    def judgeable(self) -> bool:
        """Whether there is enough of a brain for statistics."""
        return self.volume_ml >= MIN_BRAIN_ML and int(self.brain.sum()) >= _MIN_BRAIN_VOXELS

    @cached_property
    def stride(self) -> tuple[int, int, int]:
        """Native voxels in one coarse voxel, along each axis."""
        x, y, z = (max(1, round(COARSE_MM / size)) for size in self.native.spacing_mm)
        return x, y, z

    @cached_property
    def coarse_mm(self) -> tuple[float, float, float]:
        """Size of a coarse voxel."""
        x, y, z = (size * step for size, step in zip(self.native.spacing_mm, self.stride, strict=True))
        return x, y, z

    @cached_property
    def images(self) -> Mapping[str, FloatMap]:
        """Modality to its coarse map, `(X, Y, Z)`."""
        return {name: self._coarsen(image) for name, image in self.native.images.items()}

    @cached_property
    def brain(self) -> BoolMap:
        """Where every modality is nonzero, coarse."""
        return cast(BoolMap, np.logical_and.reduce([image != 0 for image in self.images.values()]))

    @cached_property
    def tissues(self) -> Mapping[Tissue, FloatMap]:
        """Tissue to its share of each coarse voxel; empty without a label."""
        reference = self.native.reference
        if reference is None:
            return {}
        return {tissue: self._coarsen(reference == tissue) for tissue in _TUMOR}

    @cached_property
    def tumor(self) -> BoolMap:
        """Coarse voxels of which most is tumor, the cavity of an operation not counted."""
        if not self.tissues:
            return np.zeros(self.brain.shape, dtype=bool)
        return cast(BoolMap, np.add.reduce(list(self.tissues.values())) > 0.5)

    @cached_property
    def contrast(self) -> Mapping[str, FloatMap]:
        """Modality to its coarse map in interquartile ranges from the median of the brain without tumor."""
        normal = self.brain & ~self.tumor
        return {name: _in_quartiles(image, normal) for name, image in self.images.items()}

    @cached_property
    def edges(self) -> Mapping[str, FloatMap]:
        """Modality to the strength of its edges, the brain's outline among them; padded by four voxels."""
        lifted = {
            name: np.where(self.images[name] != 0, contrast + _LIFT, 0)
            for name, contrast in self.contrast.items()
        }
        return {
            name: np.pad(ndimage.gaussian_gradient_magnitude(image, 1.0), 4).astype(np.float32)
            for name, image in lifted.items()
        }

    @cached_property
    def edge_agreement(self) -> Mapping[str, float]:
        """Modality to the largest correlation of its edges with those of another image of the case."""
        if not self.judgeable or len(self.modalities) < 2:
            return {}
        agreement = np.corrcoef([edges.ravel() for edges in self.edges.values()], dtype=np.float32)
        np.fill_diagonal(agreement, -1)
        return {name: float(row.max()) for name, row in zip(self.edges, agreement, strict=True)}

    def _coarsen(self, array: NDArray[Any]) -> FloatMap:
        """Mean over blocks of `stride` voxels; what is left over at the far end is dropped."""
        coarse: NDArray[Any] = array
        for axis, step in reversed(list(enumerate(self.stride))):  # first the axis that is last in memory
            whole = coarse.shape[axis] // step * step
            before = (slice(None),) * axis
            total = coarse[(*before, slice(0, whole, step))].astype(np.float32)
            for offset in range(1, step):
                total += coarse[(*before, slice(offset, whole, step))]
            coarse = total
        return np.ascontiguousarray(coarse / np.float32(math.prod(self.stride)))


def _in_quartiles(image: FloatMap, normal: BoolMap) -> FloatMap:
    low, middle, high = np.percentile(image[normal] if normal.any() else image, [25, 50, 75])
    scaled = (image - middle) / max(high - low, np.finfo(np.float32).tiny)
    return cast(FloatMap, np.clip(scaled, -_CONTRAST_LIMIT, _CONTRAST_LIMIT).astype(np.float32))


MIN_TUMOR_VOXELS: Final = 30
"""Coarse voxels of tumor below which nothing is said about its contrast."""


def shell_of(tumor: BoolMap) -> BoolMap:
    """The two layers of voxels around a tumor, one voxel away from it."""
    return ndimage.binary_dilation(tumor, iterations=3) & ~ndimage.binary_dilation(tumor)


def tumor_contrast(subject: Subject, names: Sequence[str]) -> float | None:
    """How far the labeled tumor stands out from its surroundings in the sum of some images.

    Args:
        subject: The case.
        names: The images.

    Returns:
        Difference of the means in interquartile ranges; None where there is too little brain or tumor.
    """
    if not subject.judgeable or int(subject.tumor.sum()) < MIN_TUMOR_VOXELS:
        return None
    inside, outside = subject.tumor & subject.brain, shell_of(subject.tumor) & subject.brain
    if not inside.any() or not outside.any():
        return None
    return sum(
        float(subject.contrast[name][inside].mean() - subject.contrast[name][outside].mean())
        for name in names
    )
