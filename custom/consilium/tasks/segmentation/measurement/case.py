"""All metrics of a segmented case, region by region, on the image's own grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from consilium.tasks.metrics import Scores
from consilium.tasks.segmentation.measurement.definitions import LesionRule
from consilium.tasks.segmentation.measurement.lesions import score_lesions
from consilium.tasks.segmentation.measurement.overlap import Mask, Overlap, bounding_box
from consilium.tasks.segmentation.measurement.surfaces import boundary_distances, surface_distances
from consilium.tasks.segmentation.regions import Region

TOLERANCES_MM = (1, 2)
"""At which surface Dice is measured."""


def measure_case(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    regions: Sequence[Region],
    *,
    spacing_mm: Sequence[float],
    penalty_mm: float,
    lesions: LesionRule | None,
    grid_voxels: int | None = None,
) -> Scores:
    """Measure all `case_metrics` of each region of a case; none of them is ever NaN or infinite.

    Args:
        prediction: `(R, X, Y, Z)`; regions may overlap.
        reference: `(R, X, Y, Z)`.
        regions: The R regions.
        spacing_mm: Voxel size along X, Y, Z.
        penalty_mm: HD95 where only one of both has a region.
        lesions: What a lesion is in this problem; None for no lesion-wise metrics.
        grid_voxels: Voxels of the whole image, where the arrays are a crop outside of which all is empty.

    Returns:
        `dice_<region>`, `hd95_<region>` and all others; volumes in mL, distances in mm.

    Raises:
        ValueError: If the shapes don't agree, or a spacing is not above 0.

    Example:
        >>> reference = np.zeros((1, 20, 20, 20), bool)
        >>> reference[0, 4:14, 4:14, 4:14] = True
        >>> scores = measure_case(
        ...     reference, reference, [Region("lesion", "Lesion", frozenset({1}))],
        ...     spacing_mm=(1, 1, 2), penalty_mm=374, lesions=LesionRule(3, 50, 374),
        ... )
        >>> scores["dice_lesion"], scores["hd95_lesion"], scores["volume_lesion"]
        (1.0, 0.0, 2.0)
    """
    if prediction.shape != reference.shape or prediction.ndim != 4 or len(prediction) != len(regions):
        raise ValueError(
            f"prediction {prediction.shape} and reference {reference.shape} are no "
            f"({len(regions)}, X, Y, Z) of one shape"
        )
    if not all(math.isfinite(size) and size > 0 for size in spacing_mm):
        raise ValueError(f"voxels are larger than 0 mm; these are {tuple(spacing_mm)}")
    scores: Scores = {}
    for region, found, given in zip(regions, prediction, reference, strict=True):
        measured = _measure(
            np.asarray(found, dtype=bool),
            np.asarray(given, dtype=bool),
            [float(size) for size in spacing_mm],
            penalty_mm,
            lesions,
            grid_voxels,
        )
        scores.update({f"{name}_{region.name}": value for name, value in measured.items()})
    return scores


def _measure(
    prediction: Mask,
    reference: Mask,
    spacing_mm: Sequence[float],
    penalty_mm: float,
    rule: LesionRule | None,
    grid_voxels: int | None,
) -> Scores:
    voxels = prediction.size if grid_voxels is None else grid_voxels
    # Nothing outside of the box changes any metric, and the box is often a hundredth of the image.
    box = bounding_box(prediction | reference) or (slice(0), slice(0), slice(0))
    found, given = prediction[box], reference[box]
    overlap = Overlap.of(found, given, grid_voxels=voxels)
    volume, reference_volume = overlap.volumes_ml(math.prod(spacing_mm))
    return {
        "dice": overlap.dice,
        **_surface_metrics(found, given, spacing_mm, penalty_mm),
        "sensitivity": overlap.sensitivity,
        "specificity": overlap.specificity,
        "volume_error": volume - reference_volume,
        "absolute_volume_error": abs(volume - reference_volume),
        "volume": volume,
        "reference_volume": reference_volume,
        **_lesion_metrics(found, given, spacing_mm, rule),
    }


def _lesion_metrics(
    prediction: Mask, reference: Mask, spacing_mm: Sequence[float], rule: LesionRule | None
) -> Scores:
    if rule is None:
        return {}
    found = score_lesions(prediction, reference, spacing_mm, rule)
    return {"lesion_dice": found.dice, "lesion_hd95": found.hd95_mm}


def _surface_metrics(
    prediction: Mask, reference: Mask, spacing_mm: Sequence[float], penalty_mm: float
) -> Scores:
    present = bool(prediction.any()), bool(reference.any())
    if not all(present):
        agree = not any(present)
        return {
            "hd95": 0.0 if agree else penalty_mm,
            **{f"surface_dice_{tolerance}mm": float(agree) for tolerance in TOLERANCES_MM},
        }
    surfaces = surface_distances(prediction, reference, spacing_mm)
    return {
        "hd95": boundary_distances(prediction, reference, spacing_mm).hd95,
        **{f"surface_dice_{one}mm": surfaces.surface_dice(one) for one in TOLERANCES_MM},
    }
