"""Features of volumes: intensities, stored scale, segmented regions, voxels and extent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from consilium.tasks.features import CaseValue, DriftLimits, Feature, FeatureGroup
from consilium.tasks.segmentation.regions import Region

if TYPE_CHECKING:
    from consilium.tasks.segmentation.preparation.crop import NativeCase
    from consilium.tasks.segmentation.preparation.normalization import Normalization

AXES: Final = {"x": "right", "y": "anterior", "z": "superior"}
"""Names and directions of the axes of a volume."""

_MM3_PER_ML = 1000.0

SCALE: Final = FeatureGroup(
    name="scale",
    title="Scale of the stored intensities",
    about="images",
    form="number",
    role="scale",
    unit="log10 of the median",
    note="The foreground's median in the median patient. Preparing a case takes it away.",
)
VOLUME: Final = FeatureGroup(
    name="volume",
    title="Volume",
    about="targets",
    form="number",
    role="target",
    unit="mL",
    note="Share of a hospital's patients whose volume is no larger.",
)
ABSENCE: Final = FeatureGroup(
    name="absence",
    title="Patients without",
    about="targets",
    form="yes_no",
    role="target",
    unit="1: the patient has none",
    phrase="have no",
)
SPACING: Final = FeatureGroup(
    name="spacing", title="Spacing", about="images", form="number", role="spacing", unit="mm", digits=1
)
EXTENT: Final = FeatureGroup(
    name="extent",
    title="Size",
    about="images",
    form="number",
    role="extent",
    unit="mm",
    note="Of the box around what is imaged.",
)


class Bins(NamedTuple):
    """Equal bins.

    Attributes:
        low: Start of the first.
        high: End of the last.
        number: How many there are.
    """

    low: float
    high: float
    number: int


STANDARDIZED: Final = Bins(-4.0, 6.0, 50)
"""Of intensities, in standard deviations from the foreground's mean."""

LOGARITHMS: Final = Bins(0.0, 5.0, 50)


@dataclass(frozen=True)
class VolumeFeatures:
    """The features of a segmentation of volumes, in the bins of a problem.

    Intensities are those that the network sees, so that what preparing a case takes away, such as a scanner's
    gain, distinguishes no hospitals.

    Args:
        inputs: The images of a case, by name, with their titles.
        targets: What is segmented.
        volume_ml: Bins of its volumes.
        extent_mm: Bins of the image's extent along an axis.
        normalization: What of an image is foreground, and what the network sees of it; None for
            `StandardizedForeground`.
        intensity: Bins of what the network sees.
        intensity_unit: Their unit.
        intensity_note: How they are worked out, a sentence.
        scale: Bins of the logarithm of the median as stored; None where that says nothing.
        drift: What was measured of distances between hospitals.
    """

    inputs: Mapping[str, str]
    targets: tuple[Region, ...]
    volume_ml: Bins
    extent_mm: Bins
    normalization: Normalization | None = None
    intensity: Bins = STANDARDIZED
    intensity_unit: str = "SD"
    intensity_note: str = (
        "Intensities as the network sees them: zero mean and unit standard deviation over the foreground."
    )
    scale: Bins | None = LOGARITHMS
    drift: DriftLimits | None = None

    version: ClassVar[int] = 1

    def features(self) -> tuple[Feature, ...]:
        """Return the features, in the order in which they are shown."""
        return tuple(self._features())

    def _features(self) -> Iterator[Feature]:
        intensity = FeatureGroup(
            name="intensity",
            title="Intensity",
            about="images",
            form="spread",
            role="appearance",
            unit=self.intensity_unit,
            digits=3,
            note=self.intensity_note,
        )
        for name, title in self.inputs.items():
            yield Feature(intensity, name, title, *self.intensity)
        if self.scale is not None:
            for name, title in self.inputs.items():
                yield Feature(SCALE, name, title, *self.scale)
        for target in self.targets:
            yield Feature(VOLUME, target.name, target.title, *self.volume_ml)
        for target in self.targets:
            yield Feature(ABSENCE, target.name, target.title, -0.5, 1.5, 2)
        # Bins lie around tenths of a millimeter: where spacings are.
        for axis, title in AXES.items():
            yield Feature(SPACING, axis, title, 0.05, 10.05, 100)
        for axis, title in AXES.items():
            yield Feature(EXTENT, axis, title, *self.extent_mm)

    def describe(self, native: NativeCase) -> dict[str, CaseValue]:
        """Return the values of a case by feature name."""
        # What reads images: the processes that write and check jobs ask for ranges alone.
        from consilium.tasks.segmentation.preparation.normalization import StandardizedForeground

        normalization = self.normalization or StandardizedForeground()
        values: dict[str, CaseValue] = {}
        for name, array in native.images.items():
            mask = normalization.foreground(array)
            values[f"intensity_{name}"] = self._share_of_bins(normalization.normalize(array)[mask])
            if self.scale is not None:
                # A median of 0 or less has no logarithm; it is out of range like one below 1.
                values[f"scale_{name}"] = float(np.log10(max(float(np.median(array[mask])), 1.0)))
        if native.reference is not None:
            values |= self._volumes(native.reference, native.spacing_mm)
        extent = np.subtract(native.crop_stop, native.crop_start) * native.spacing_mm
        for place, axis in enumerate(AXES):
            values[f"spacing_{axis}"] = float(native.spacing_mm[place])
            values[f"extent_{axis}"] = float(extent[place])
        return values

    def _share_of_bins(self, values: NDArray[Any]) -> tuple[float, ...]:
        """The share of values, `(N,)`, in each bin of intensities."""
        span = (self.intensity.low, self.intensity.high)
        counts, _ = np.histogram(np.clip(values, *span), bins=self.intensity.number, range=span)
        return tuple((counts / len(values)).tolist())

    def _volumes(
        self, reference: NDArray[np.uint8], spacing_mm: Sequence[float]
    ) -> Iterator[tuple[str, CaseValue]]:
        counts = np.bincount(reference.ravel(), minlength=256)
        voxel_ml = float(np.prod(spacing_mm)) / _MM3_PER_ML
        for target in self.targets:
            volume = sum(int(counts[value]) * voxel_ml for value in target.values)
            yield f"volume_{target.name}", volume
            yield f"absence_{target.name}", float(volume == 0)
