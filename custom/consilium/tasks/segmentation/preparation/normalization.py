"""Normalization of an image's intensities: foreground, unusable images, and the network's input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from consilium.counts import counted
from consilium.data.problem_code import ProblemCode
from consilium.tasks.segmentation.codes import VolumeCode
from consilium.tasks.segmentation.preparation.intensities import standardize

Flaw = tuple[ProblemCode, str]

_LARGEST_INTENSITY: Final = 1e32  # what a damaged scale in a header makes; float32 statistics end at 3e38
_SPARSE: Final = (slice(None, None, 8),) * 3
_SAMPLE: Final = 10_000
_FLAT_SHARE: Final = 0.99
"""Share of the nonzero voxels with one value from which nothing is left to see: at most 1.4 % in twelve
images of real patients. A background that isn't 0 takes less of any file that holds anatomy, and is an error
of its own; with less than this share there is a warning (`little_contrast`)."""
_ROUNDING: Final = 1e-6
"""Relative difference that resampling in float32 leaves between voxels of one value."""


class Normalization(Protocol):
    """Meaning of the numbers in a problem's images."""

    @property
    def fingerprint(self) -> str:
        """Short text that changes with what `normalize` returns."""

    @property
    def zero_background(self) -> bool:
        """Whether all but the anatomy is 0, and intensities, which have no unit, lie above."""

    def foreground(self, array: NDArray[Any]) -> NDArray[np.bool_]:
        """Return where an image shows anatomy, of the same shape: the box around it is cropped."""

    def check_image(self, path: Path, array: NDArray[Any]) -> Iterator[Flaw]:
        """Find what makes an image useless, wherever the anatomy is in it.

        Args:
            path: Its file, for the finding.
            array: All of its voxels, `(X, Y, Z)`.
        """

    def check_crop(self, path: Path, array: NDArray[Any]) -> Iterator[Flaw]:
        """Find an image without contrast in the crop, which is all that is normalized and trained on.

        Args:
            path: Its file, for the finding.
            array: Its voxels in the crop, `(X, Y, Z)`, all of them finite.
        """

    def normalize(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """Return what the network sees of a crop, of the same shape; 0 is what images are padded with.

        Raises:
            UnusableFile: It can't be normalized.
        """


@dataclass(frozen=True)
class StandardizedForeground:
    """Intensities without a unit, in images whose background is 0, such as MRI masked to the anatomy.

    Each image becomes zero mean and unit standard deviation over its own nonzero voxels; see `standardize`.
    """

    fingerprint: str = "standardized nonzero"
    zero_background: ClassVar[bool] = True

    def foreground(self, array: NDArray[Any]) -> NDArray[np.bool_]:
        """Return where an image is not 0."""
        return np.asarray(array != 0)

    def check_image(self, path: Path, array: NDArray[Any]) -> Iterator[tuple[ProblemCode, str]]:
        """Find what makes an image useless, wherever the anatomy is in it.

        Args:
            path: Its file, for the finding.
            array: All of its voxels, `(X, Y, Z)`.
        """
        unusable = list(check_numbers(path, array))
        if unusable:
            yield from unusable
            return
        low, high = array.min(initial=0), array.max(initial=0)
        only = high or low
        if not only:
            yield VolumeCode.CONSTANT_IMAGE, f"In {path} every voxel is 0."
        elif not (low and high) and all(_is_flat(part, only) for part in (array[_SPARSE], array)):
            yield VolumeCode.CONSTANT_IMAGE, f"In {path} every nonzero voxel is {only}."

    def check_crop(self, path: Path, array: NDArray[Any]) -> Iterator[tuple[ProblemCode, str]]:
        """Find an image without contrast around the anatomy, which is all that is normalized and trained on.

        A stray voxel elsewhere, or a few voxels of another value, make no image of a mask.

        Args:
            path: Its file, for the finding.
            array: Its voxels in the crop, `(X, Y, Z)`, all of them finite.
        """
        voxels = array.ravel(order="K")
        voxels = voxels[voxels != 0]
        if not voxels.size:
            yield VolumeCode.CONSTANT_IMAGE, f"In {path} every voxel around the anatomy is 0."
            return
        sample = np.sort(voxels[:: max(1, voxels.size // _SAMPLE)])
        common = float(sample[sample.size // 2])  # the value of most voxels is their median
        reach = _ROUNDING * abs(common)
        alike = np.count_nonzero((voxels >= common - reach) & (voxels <= common + reach))
        if alike >= _FLAT_SHARE * voxels.size:
            around = counted(voxels.size, "nonzero voxel")
            detail = f"In {path} {alike} of the {around} around the anatomy are {common:g}."
            yield VolumeCode.CONSTANT_IMAGE, detail

    def normalize(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """Standardize the nonzero voxels; background stays 0."""
        nonzero = array != 0
        normalized = np.zeros(array.shape, dtype=np.float32)
        normalized[nonzero] = standardize(array[nonzero])
        return normalized


@dataclass(frozen=True)
class IntensityWindow:
    """Intensities with a unit, such as the Hounsfield units of CT: a window of them becomes 0 to 1.

    Args:
        low: What becomes 0, and all below.
        high: What becomes 1, and all above.
        background: The anatomy's box holds all values above this; air is -1000 HU.

    Example:
        >>> IntensityWindow(-1000, 400).normalize(np.array([-3024, -1000, -300, 400, 3000])).tolist()
        [0.0, 0.0, 0.5, 1.0, 1.0]
    """

    low: float
    high: float
    background: float = -500.0

    zero_background: ClassVar[bool] = False

    @property
    def fingerprint(self) -> str:
        """The window and what is background."""
        return f"window {self.low:g} to {self.high:g}, above {self.background:g}"

    def foreground(self, array: NDArray[Any]) -> NDArray[np.bool_]:
        """Return where an image shows more than air."""
        return np.asarray(array > self.background)

    def check_image(self, path: Path, array: NDArray[Any]) -> Iterator[Flaw]:
        """Find what is not a number, and an image of air alone."""
        unusable = list(check_numbers(path, array))
        yield from unusable
        if not unusable and not (array > self.background).any():
            yield VolumeCode.CONSTANT_IMAGE, f"In {path} no voxel is above {self.background:g}."

    def check_crop(self, path: Path, array: NDArray[Any]) -> Iterator[Flaw]:
        """Find an image that the window makes one value."""
        low, high = (float(value) for value in (array.min(), array.max()))
        if low == high or high <= self.low or low >= self.high:
            detail = f"{path} has voxels from {low:g} to {high:g}, of which the window leaves one value."
            yield VolumeCode.CONSTANT_IMAGE, detail

    def normalize(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """Clip to the window and scale it to 0 to 1."""
        scaled = (array.astype(np.float32) - np.float32(self.low)) / np.float32(self.high - self.low)
        return np.asarray(np.clip(scaled, 0, 1), dtype=np.float32)


def check_numbers(path: Path, array: NDArray[Any]) -> Iterator[Flaw]:
    """Find voxels that are not numbers, or larger than any that a scanner writes.

    Args:
        path: The image's file, for the finding.
        array: All of its voxels.
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        count = array.size - int(np.isfinite(array).sum())
        yield VolumeCode.NON_FINITE, f"{path} has {counted(count, 'voxel')} that are NaN or infinite."
        return
    low, high = array.min(initial=0), array.max(initial=0)
    if max(abs(float(low)), abs(float(high))) > _LARGEST_INTENSITY:
        yield VolumeCode.NON_FINITE, f"{path} has voxels from {low:g} to {high:g}."


def _is_flat(array: NDArray[Any], only: float) -> bool:
    """Whether every nonzero voxel has one value."""
    return bool(np.count_nonzero(array == only) == np.count_nonzero(array))
