"""Evaluation of a segmentation: Dice and HD95 in training, and all metrics of a finished model's cases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from consilium.tasks.evaluation import Evaluation
from consilium.tasks.histograms import MetricBins
from consilium.tasks.measures import Measure
from consilium.tasks.metrics import MetricSet, Scores
from consilium.tasks.segmentation.metrics import region_metrics
from consilium.tasks.segmentation.regions import Region

if TYPE_CHECKING:
    from torch import Tensor

    from consilium.data.cached_case import CachedCase
    from consilium.tasks.segmentation.measurement.definitions import LesionRule


class SegmentationEvaluation(Evaluation):
    """Scores boolean regions `(R, X, Y, Z)` on a case's native voxels.

    Torch and MONAI load when a case is scored: every process that reads records knows the metrics.

    Args:
        regions: What is segmented, in the network's order.
        penalty_mm: HD95 where only one of prediction and reference has a region.
        lesions: What a lesion is in this problem; None for no lesion-wise metrics.
    """

    def __init__(
        self, regions: Sequence[Region], *, penalty_mm: float, lesions: LesionRule | None = None
    ) -> None:
        self._regions = tuple(regions)
        self._lesions = lesions
        self._penalty_mm = penalty_mm
        self._metrics = region_metrics(regions, penalty_mm=penalty_mm)

    @property
    def metrics(self) -> MetricSet:
        """Dice and HD95; see `region_metrics`."""
        return self._metrics

    def reference(self, case: CachedCase) -> Tensor:
        """Return the case's regions on the native voxels of its crop, `(R, X, Y, Z)` bool.

        Raises:
            ValueError: If the case has no label.
        """
        import torch

        from consilium.tasks.segmentation.regions import to_regions
        from consilium.tasks.segmentation.volume_case import VolumeCase

        tissues = VolumeCase.of(case).reference
        if tissues is None:
            raise ValueError("cases are evaluated against a reference; this one has none")
        return to_regions(torch.from_numpy(tissues.copy()), self._regions)

    def score(self, prediction: Tensor, case: CachedCase, *, final: bool) -> Scores:
        """Score the regions found in a case; see `score_case`.

        Args:
            prediction: Booleans on the native voxels of the case's crop, `(R, X, Y, Z)`.
            case: The case.
            final: Whether to compute HD95 as well.
        """
        from consilium.tasks.segmentation.scoring import score_case
        from consilium.tasks.segmentation.volume_case import VolumeCase

        return score_case(
            prediction,
            self.reference(case),
            self._regions,
            spacing_mm=VolumeCase.of(case).geometry.native_spacing_mm,
            penalty_mm=self._penalty_mm,
            distances=final,
        )

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Overlap, surfaces, volumes and lesions of each region; see `region_measures`."""
        from consilium.tasks.segmentation.measurement.definitions import region_measures

        return region_measures(self._regions, penalty_mm=self._penalty_mm, lesions=self._lesions is not None)

    @property
    def bins(self) -> Mapping[str, MetricBins]:
        """The public bins of `measures`: those of the metric, also of its mean over regions."""
        from consilium.tasks.segmentation.measurement.definitions import case_metrics

        of_metric = {one.title: one.bins for one in case_metrics(self._penalty_mm)}
        return {one.name: of_metric[one.title] for one in self.measures}

    def measure(self, prediction: Tensor, case: CachedCase) -> Scores:
        """Measure the regions found in a case by all metrics; see `measure_case`.

        Args:
            prediction: Booleans on the native voxels of the case's crop, `(R, X, Y, Z)`.
            case: The case.
        """
        from consilium.tasks.segmentation.measurement.case import measure_case
        from consilium.tasks.segmentation.volume_case import VolumeCase

        geometry = VolumeCase.of(case).geometry
        measured = measure_case(
            prediction.numpy(),
            self.reference(case).numpy(),
            self._regions,
            spacing_mm=geometry.native_spacing_mm,
            penalty_mm=self._penalty_mm,
            lesions=self._lesions,
            grid_voxels=math.prod(geometry.file_shape),
        )
        scores: Scores = {}
        for one in self.measures:
            parts = [one.name] if one.target else [f"{one.name}_{region.name}" for region in self._regions]
            scores[one.name] = float(np.mean([measured[part] for part in parts]))
        return scores
