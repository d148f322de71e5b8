"""View of a case for checks: native voxels, and coarse maps for statistics."""

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
from consilium.data.finding import Finding
from consilium.data.problem_code import ProblemCode
from consilium.tasks.segmentation.checks.limits import OutlierLimits, RegistrationLimits
from consilium.tasks.segmentation.preparation.crop import NativeCase
from consilium.tasks.segmentation.preparation.intensities import Levels, Scale
from consilium.tasks.segmentation.preparation.normalization import Normalization

FloatMap = NDArray[np.float32]
BoolMap = NDArray[np.bool_]

COARSE_MM: Final = 3.0
"""Voxel size, or a little more, of the maps that statistics run on."""

_MIN_COARSE_VOXELS = 1500
_CONTRAST_LIMIT = 4.0
# Brings the darkest tissue above the background, so that the outline of the anatomy is an edge too.
_LIFT = 5.0
_MM3_PER_ML = 1000.0


@dataclass(frozen=True)
class VolumeTraits:
    """Properties of a problem's images at any hospital.

    Args:
        normalization: What intensities mean, and where an image shows anatomy.
        extent_mm: Plausible lengths of the anatomy's longest side; None where any is.
        min_ml: With less in view than this, statistics mean nothing.
        outliers: Limits for outlying voxels and slices; None only where intensities have a unit.
        registration: Limits for the agreement of a case's images; None only where a case is one image.

    Raises:
        ValueError: If images without a unit of intensity come without `outliers`.
    """

    normalization: Normalization
    extent_mm: tuple[float, float] | None = None
    min_ml: float = 150.0
    outliers: OutlierLimits | None = None
    registration: RegistrationLimits | None = None

    def __post_init__(self) -> None:
        """Check that no check would be skipped for want of a limit."""
        if self.outliers is None and self.zero_background:
            raise ValueError(
                "images without a unit of intensity are checked for outliers; state VolumeTraits.outliers"
            )

    def foreground(self, image: NDArray[Any]) -> BoolMap:
        """Return where an image shows anatomy."""
        return self.normalization.foreground(image)

    @property
    def zero_background(self) -> bool:
        """Whether all but the anatomy is 0, and intensities, which have no unit, lie above."""
        return self.normalization.zero_background


@dataclass(frozen=True)
class CaseView:
    """A readable case.

    Args:
        case: The case.
        native: Its voxels.
        inputs: Names of the images, in the task's order.
        convention: What the label's values mean.
        traits: What the problem knows of its images.
        partial: Whether it is a part of a case that can't be used as a whole.
    """

    case: Case
    native: NativeCase
    inputs: Sequence[str]
    convention: str | None
    traits: VolumeTraits
    partial: bool = False

    def finding(
        self,
        code: ProblemCode,
        detail: str,
        *,
        image: str | None = None,
        confidence: float | None = None,
        overwhelming: bool = False,
    ) -> Finding:
        """A finding about this case."""
        return Finding(
            code=code,
            case_id=self.case.id,
            image=image,
            detail=detail,
            confidence=confidence,
            overwhelming=overwhelming,
        )

    @cached_property
    def only_image(self) -> str | None:
        """The input of a part that is a single image: what is seen in its voxels is about this one."""
        return next(iter(self.inputs)) if self.partial and len(self.inputs) == 1 else None

    @cached_property
    def foreground(self) -> Mapping[str, BoolMap]:
        """Input to where it is not background, on the native crop."""
        return {name: self.traits.foreground(image) for name, image in self.native.images.items()}

    @cached_property
    def scales(self) -> Mapping[str, Scale]:
        """Input to how its foreground is spread, whatever a few of its voxels hold."""
        return {name: Scale.of(levels) for name, levels in self.levels.items()}

    @cached_property
    def levels(self) -> Mapping[str, Levels]:
        """Input to the values of its foreground in the crop."""
        return {name: Levels.of(image[self.foreground[name]]) for name, image in self.native.images.items()}

    @cached_property
    def anatomy(self) -> BoolMap:
        """Where any image is not background, on the native crop."""
        return reduce(np.logical_or, self.foreground.values())

    @cached_property
    def volume_ml(self) -> float:
        """Volume in which any image is not background."""
        return float(np.count_nonzero(self.anatomy) * np.prod(self.native.spacing_mm) / _MM3_PER_ML)

    @cached_property
    def profiles(self) -> list[NDArray[np.int64]]:
        """Voxels of `anatomy` in each slice along each axis."""
        rows = self.anatomy.sum(axis=2, dtype=np.int64)
        return [rows.sum(axis=1), rows.sum(axis=0), self.anatomy.sum(axis=(0, 1), dtype=np.int64)]

    @cached_property
    def extent_mm(self) -> tuple[float, float, float]:
        """Size of `anatomy` along each axis."""
        x, y, z = (
            float(np.count_nonzero(profile) * size)
            for profile, size in zip(self.profiles, self.native.spacing_mm, strict=True)
        )
        return x, y, z

    @cached_property
    def measurable(self) -> bool:
        """Whether there is enough in view for statistics."""
        return self.volume_ml >= self.traits.min_ml and int(self.inside.sum()) >= _MIN_COARSE_VOXELS

    @property
    def may_be_empty(self) -> bool:
        """Whether a label may mark nothing."""
        return False

    @property
    def whole(self) -> bool:
        """Whether all that should be in view is known to be; only then statistics can be overwhelming."""
        return False

    @cached_property
    def stride(self) -> tuple[int, int, int]:
        """Native voxels in one coarse voxel, along each axis: at most those that there are."""
        x, y, z = (
            max(1, min(round(COARSE_MM / size), stop - start))
            for size, start, stop in zip(
                self.native.spacing_mm, self.native.crop_start, self.native.crop_stop, strict=True
            )
        )
        return x, y, z

    @cached_property
    def coarse_mm(self) -> tuple[float, float, float]:
        """Size of a coarse voxel."""
        x, y, z = (size * step for size, step in zip(self.native.spacing_mm, self.stride, strict=True))
        return x, y, z

    @cached_property
    def images(self) -> Mapping[str, FloatMap]:
        """Input to its coarse map, `(X, Y, Z)`."""
        return {name: self.coarsen(image) for name, image in self.native.images.items()}

    @cached_property
    def inside(self) -> BoolMap:
        """Where no image is background, coarse."""
        found = [self.traits.foreground(image) for image in self.images.values()]
        return cast(BoolMap, np.logical_and.reduce(found))

    @cached_property
    def marked(self) -> BoolMap:
        """Coarse voxels of which most is labeled."""
        if self.native.reference is None:
            return np.zeros(self.inside.shape, dtype=bool)
        return np.asarray(self.coarsen(self.native.reference != 0) > 0.5)

    @cached_property
    def contrast(self) -> Mapping[str, FloatMap]:
        """Input to its coarse map in interquartile ranges from the median of what is not labeled."""
        normal = self.inside & ~self.marked
        return {name: _in_quartiles(image, normal) for name, image in self.images.items()}

    @cached_property
    def edges(self) -> Mapping[str, FloatMap]:
        """Input to the strength of its edges, the anatomy's outline among them; padded by four voxels."""
        lifted = {
            name: np.where(self.traits.foreground(self.images[name]), contrast + _LIFT, 0)
            for name, contrast in self.contrast.items()
        }
        return {
            name: np.pad(ndimage.gaussian_gradient_magnitude(image, 1.0), 4).astype(np.float32)
            for name, image in lifted.items()
        }

    @cached_property
    def edge_agreement(self) -> Mapping[str, float]:
        """Input to the largest correlation of its edges with those of another image of the case."""
        if not self.measurable or len(self.inputs) < 2:
            return {}
        agreement = np.corrcoef([edges.ravel() for edges in self.edges.values()], dtype=np.float32)
        np.fill_diagonal(agreement, -1)
        return {name: float(row.max()) for name, row in zip(self.edges, agreement, strict=True)}

    def coarsen(self, array: NDArray[Any]) -> FloatMap:
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
