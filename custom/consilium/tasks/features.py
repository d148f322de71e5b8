"""What is counted about a site's patients: the features of the statistics, with fixed public ranges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from consilium.tasks.base import Task
from consilium.tasks.segmentation.intensities import INTENSITY_BINS, INTENSITY_RANGE

Group = Literal["intensity", "scale", "volume", "absence", "spacing", "extent"]

AXES = ("x", "y", "z")
"""Right, anterior, superior."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A histogram over patients in equal bins; the first and the last also hold what lies beyond.

    No range is found from data, so no minimum and no maximum ever leaves a site.

    Attributes:
        group: What kind of thing it is.
        of: The modality, region or axis that it is about.
        unit: Of the range.
        low: Start of the first bin.
        high: End of the last.
        bins: How many there are.
        spread: Whether a patient is spread over the bins (an image's intensities) or falls into one.
    """

    group: Group
    of: str
    unit: str
    low: float
    high: float
    bins: int
    spread: bool = False

    @property
    def name(self) -> str:
        """For example `volume_wt`."""
        return f"{self.group}_{self.of}"

    @property
    def edges(self) -> NDArray[np.float64]:
        """Edges of the bins, `(bins + 1,)`."""
        return np.linspace(self.low, self.high, self.bins + 1)

    @property
    def centers(self) -> NDArray[np.float64]:
        """Centers of the bins, `(bins,)`."""
        edges = self.edges
        return (edges[:-1] + edges[1:]) / 2


def task_features(task: Task) -> tuple[Feature, ...]:
    """Return the features of a task's cohorts, in the order in which they are shown."""
    return tuple(_features(task))


def _features(task: Task) -> Iterator[Feature]:
    for name in task.inputs:
        yield Feature("intensity", name, "SD of the brain", *INTENSITY_RANGE, INTENSITY_BINS, spread=True)
    for name in task.inputs:
        yield Feature("scale", name, "log10 of the median", 0.0, 5.0, 50)
    for region in task.targets:
        yield Feature("volume", region.name, "mL", 0.0, 300.0, 60)
    for region in task.targets:
        yield Feature("absence", region.name, "1: the patient has none", -0.5, 1.5, 2)
    # Bins lie around tenths of a millimeter, and around centimeters: where spacings and sizes are.
    for axis in AXES:
        yield Feature("spacing", axis, "mm", 0.05, 10.05, 100)
    for axis in AXES:
        yield Feature("extent", axis, "mm", 5.0, 405.0, 40)
