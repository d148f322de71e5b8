"""Standardized intensities, independent of a scanner's scale."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from consilium.data.file_content import UnusableFile
from consilium.tasks.segmentation.codes import VolumeCode

_PLAUSIBLE_DEVIATIONS = 30.0
_PERCENTILES = (0.5, 99.5)
_MAX_TABLE = 1 << 20  # levels; images of integers have 65,536


class Levels(NamedTuple):
    """The distinct values of an image and how many voxels have each; cheaper than sorting all voxels.

    Attributes:
        values: In order, `(L,)`.
        counts: Voxels of each, `(L,)`.
    """

    values: NDArray[np.float64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, voxels: NDArray[Any]) -> Levels:
        """Count the values of voxels."""
        if voxels.dtype.kind in "iu" and voxels.size:
            first, last = int(voxels.min()), int(voxels.max())
            if last - first < _MAX_TABLE:
                table = np.bincount(voxels.ravel().astype(np.int64) - first)
                filled = np.flatnonzero(table)
                return cls((filled + first).astype(np.float64), table[filled])
        values, counts = np.unique(voxels, return_counts=True)
        return cls(values.astype(np.float64), counts)

    def percentile(self, percent: float) -> float:
        """What `numpy.percentile` gives of all voxels."""
        ends = np.cumsum(self.counts)
        place = percent / 100 * (int(ends[-1]) - 1)
        first = int(place)
        below, above = self.values[np.searchsorted(ends, [first, min(first + 1, ends[-1] - 1)], side="right")]
        return float(below + (place - first) * (above - below))

    def between(self, low: float, high: float) -> Levels:
        """Those of the values that lie in a range, its ends included."""
        part = slice(np.searchsorted(self.values, low), np.searchsorted(self.values, high, side="right"))
        return Levels(self.values[part], self.counts[part])

    def beyond(self, low: float, high: float) -> int:
        """How many voxels lie outside a range."""
        return int(self.counts[(self.values < low) | (self.values > high)].sum())

    def clipped(self, low: float, high: float) -> Levels:
        """All voxels, with values beyond a range moved to its ends; the ends may occur several times."""
        return Levels(np.clip(self.values, low, high), self.counts)

    def distances(self, center: float) -> Levels:
        """How far the voxels lie from a value."""
        distances = np.abs(self.values - center)
        order = np.argsort(distances, kind="stable")  # two runs in order, which a stable sort only merges
        return Levels(distances[order], self.counts[order])

    def mean(self) -> float:
        """Mean of all voxels."""
        return float(np.average(self.values, weights=self.counts))

    def std(self) -> float:
        """Standard deviation of all voxels."""
        return float(np.sqrt(np.average((self.values - self.mean()) ** 2, weights=self.counts)))


class Scale(NamedTuple):
    """Robust distribution of an image's intensities.

    Attributes:
        median: Of all values.
        low: Smallest plausible value: 30 median absolute deviations below the median.
        high: Largest plausible value, as far above it.
        dark: The 0.5 percentile of the plausible values.
        bright: Their 99.5 percentile.
        mean: Of the plausible values, clipped to these percentiles.
        std: The same values' standard deviation.
    """

    median: float
    low: float
    high: float
    dark: float
    bright: float
    mean: float
    std: float

    @classmethod
    def of(cls, levels: Levels) -> Scale:
        """Measure a modality's nonzero voxels.

        In three real patients the brightest vessel is 32 median absolute deviations above the median, and
        any other tissue within 22; hot and wrapped voxels lie hundreds away.

        Args:
            levels: At least two.
        """
        median = levels.percentile(50)
        spread = levels.distances(median).percentile(50)
        if not spread:  # more than half of the voxels have one value
            edges = (levels.percentile(percent) for percent in _PERCENTILES)
            spread = levels.clipped(*edges).distances(median).mean()
        reach = _PLAUSIBLE_DEVIATIONS * spread
        low, high = (median - reach, median + reach) if reach else (levels.values[0], levels.values[-1])
        plausible = levels.between(low, high)
        dark, bright = (plausible.percentile(percent) for percent in _PERCENTILES)
        counted = plausible.clipped(dark, bright) if dark < bright else levels
        return cls(median, float(low), float(high), dark, bright, counted.mean(), counted.std())


def standardize(voxels: NDArray[Any]) -> NDArray[np.float64]:
    """Bring a modality's nonzero voxels to zero mean and unit standard deviation: what the network sees.

    A few voxels of any value, hot, wrapped or saturated ones, hardly change the others: they don't count for
    the mean and the standard deviation, and are clipped to the plausible values. A lesion is not: its
    brightest voxels are often among the highest 0.5 % of an image.

    Args:
        voxels: At least two different values.

    Returns:
        Array of the same shape, all of it finite.

    Raises:
        UnusableFile: The voxels don't differ, or so little or so much that no number can hold the result.

    Example:
        >>> import numpy as np
        >>> standardize(np.array([1, 2, 3, 4, 65530])).round(1).tolist()
        [-1.4, -0.5, 0.5, 1.4, 27.5]
    """
    levels = Levels.of(voxels)
    if levels.values.size < 2:
        raise UnusableFile(VolumeCode.CONSTANT_IMAGE, "has no nonzero voxels that differ")
    if not np.isfinite(levels.values[[0, -1]]).all():  # NaN is sorted to the end
        raise UnusableFile(VolumeCode.NON_FINITE, "has voxels that are NaN or infinite")
    scale = Scale.of(levels)
    if not 0 < scale.std < np.inf:  # NaN is neither
        detail = f"has nonzero voxels with a standard deviation of {scale.std:g}"
        raise UnusableFile(VolumeCode.NON_FINITE if scale.std else VolumeCode.CONSTANT_IMAGE, detail)
    standardized = (np.clip(voxels.astype(np.float64), scale.low, scale.high) - scale.mean) / scale.std
    if not np.isfinite(standardized).all():
        raise UnusableFile(VolumeCode.NON_FINITE, "has nonzero voxels that can't be normalized")
    return standardized
