"""The metrics of a segmentation: Dice and HD95 per region, and their means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from consilium.tasks.metrics import Metric, MetricSet
from consilium.tasks.segmentation.regions import Region

LONGEST_HD95_MM: Final = 1000.0
"""Largest accepted distance; a chest and abdomen of 500x400x700 mm have a diagonal of 950 mm."""

NOTHING_FOUND: Final = 0.01
"""Mean Dice below which a model finds next to nothing."""


def region_metrics(regions: Sequence[Region], *, penalty_mm: float) -> MetricSet:
    """Return Dice and HD95 of each region and the means over regions; the mean Dice selects models.

    HD95 costs more than the prediction on small volumes, so only final models are measured by it.

    Args:
        regions: What is segmented, in the network's order.
        penalty_mm: HD95 where only one of prediction and reference has a region.

    Example:
        >>> lesion = Region("lesion", "Lesion", frozenset())
        >>> [one.name for one in region_metrics([lesion], penalty_mm=500).metrics]
        ['dice', 'dice_lesion', 'hd95', 'hd95_lesion']
    """
    dice = _with_mean(Metric(name="dice", title="Dice"), regions)
    distance = Metric(
        name="hd95",
        title="HD95",
        high=LONGEST_HD95_MM,
        higher_is_better=False,
        unit="mm",
        digits=1,
        final_only=True,
    )
    return MetricSet(
        metrics=(*dice, *_with_mean(distance, regions)),
        key="dice",
        gained=tuple(one.name for one in dice),
        targets={region.name: region.title for region in regions},
        nothing_learned=NOTHING_FOUND,
        definitions={"Dice": _define_dice(regions), "HD95": _define_hd95(penalty_mm)},
    )


def _define_hd95(penalty_mm: float) -> str:
    return (
        "The 95th percentile of the distances between the two surfaces, in mm. Where a region is absent from "
        f"both, it is 0; where only one has it, {penalty_mm:.0f} mm, so one such patient dominates a mean."
    )


def _define_dice(regions: Sequence[Region]) -> str:
    text = (
        "Overlap with the reference segmentation, 0 to 1, on the original voxels. Where a region is absent "
        "from both, it is 1; where only one has it, 0."
    )
    if len(regions) == 1:
        return text
    names = [f"{region.title.lower()} ({region.name.upper()})" for region in regions]
    return f"{text} “Mean” is over {', '.join(names[:-1])} and {names[-1]}."


def _with_mean(mean: Metric, regions: Sequence[Region]) -> tuple[Metric, ...]:
    parts = [
        mean.model_copy(update={"name": f"{mean.name}_{region.name}", "target": region.name})
        for region in regions
    ]
    return (mean.model_copy(update={"mean_of": tuple(part.name for part in parts)}), *parts)
