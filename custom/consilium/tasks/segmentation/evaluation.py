"""Evaluation of a segmentation: Dice and HD95 per region, with the rules of BraTS for empty ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from consilium.tasks.evaluation import Evaluation
from consilium.tasks.metrics import MetricSet, Scores
from consilium.tasks.segmentation.metrics import region_metrics
from consilium.tasks.segmentation.regions import Region

if TYPE_CHECKING:
    from torch import Tensor

    from consilium.data.cached_case import CachedCase


class SegmentationEvaluation(Evaluation):
    """Scores boolean regions `(R, X, Y, Z)` on a case's native voxels.

    Torch and MONAI load when a case is scored: every process that reads records knows the metrics.

    Args:
        regions: What is segmented, in the network's order.
    """

    def __init__(self, regions: Sequence[Region]) -> None:
        self._regions = tuple(regions)
        self._metrics = region_metrics(regions)

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
            distances=final,
        )
