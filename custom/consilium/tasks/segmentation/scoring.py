"""Scores of one segmented case: Dice and HD95 per region, with the rules of BraTS for empty regions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.metrics import compute_dice, compute_hausdorff_distance
from torch import Tensor

from consilium.tasks.metrics import Scores
from consilium.tasks.segmentation.regions import Region


def score_case(
    prediction: Tensor,
    reference: Tensor,
    regions: Sequence[Region],
    *,
    spacing_mm: Sequence[float],
    penalty_mm: float,
    distances: bool = True,
) -> Scores:
    """Score one case.

    An empty reference counts: both empty is a perfect Dice of 1 and HD95 of 0, one empty is 0 and
    `penalty_mm`. MONAI's default leaves such cases out, so that false positives in a patient without the
    region would cost nothing.

    Args:
        prediction: Booleans, `(R, X, Y, Z)`.
        reference: Booleans, `(R, X, Y, Z)`.
        regions: The R regions.
        spacing_mm: Voxel size along X, Y, Z.
        penalty_mm: HD95 where only one of both has a region.
        distances: Whether to compute HD95 as well (it costs more than the prediction on small volumes).

    Returns:
        `dice_<region>` and, with distances, `hd95_<region>` in mm.
    """
    dice = compute_dice(prediction[None].float(), reference[None].float(), ignore_empty=False)[0]
    scores = {f"dice_{region.name}": float(value) for region, value in zip(regions, dice, strict=True)}
    if distances:
        for index, region in enumerate(regions):
            scores[f"hd95_{region.name}"] = _hd95(prediction[index], reference[index], spacing_mm, penalty_mm)
    return scores


def _hd95(prediction: Tensor, reference: Tensor, spacing_mm: Sequence[float], penalty_mm: float) -> float:
    if not prediction.any() and not reference.any():
        return 0.0
    if not prediction.any() or not reference.any():
        return penalty_mm
    box = _bounding_box(prediction | reference)
    distance = compute_hausdorff_distance(
        prediction[box][None, None].float(),
        reference[box][None, None].float(),
        include_background=True,
        percentile=95,
        spacing=[float(size) for size in spacing_mm],
    )
    return float(distance)


def _bounding_box(mask: Tensor) -> tuple[slice, ...]:
    """Box around the mask with one voxel of margin: surfaces, and so distances, are the same inside it."""
    box = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        hits = torch.nonzero(mask.any(dim=others))
        box.append(slice(max(int(hits.min()) - 1, 0), int(hits.max()) + 2))
    return tuple(box)
