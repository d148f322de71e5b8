"""Time of all metrics of a full-size case, against MONAI's of those that it has, in the same run.

The case is 240x240x155 voxels of 1 mm with three nested regions; the prediction is moved, has a part too much
and a part too little, and in the second case also a thousand specks. Run it from the repository's root:

    python benchmarks/metrics.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from monai.metrics import (
    compute_dice,
    compute_hausdorff_distance,
    compute_surface_dice,
    get_confusion_matrix,
)
from numpy.typing import NDArray

from consilium.tasks import get_task
from consilium.tasks.brain_tumor.lesions import GLIOMA_LESIONS, PENALTY_MM
from consilium.tasks.segmentation.measurement.case import measure_case
from consilium.tasks.segmentation.measurement.lesions import score_lesions

SHAPE = (240, 240, 155)
SPACING_MM = (1.0, 1.0, 1.0)
REGIONS = get_task("brain_tumor").targets

Masks = NDArray[np.bool_]
"""`(R, X, Y, Z)`."""


def main() -> None:
    """Print the seconds of each case, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{'case':>12} {'MONAI':>8} {'all of ours':>12} {'ratio':>6} {'of it lesion-wise':>18}   seconds")
    for name, specks in (("clean", 0), ("with specks", 1000)):
        prediction, reference = make_case(specks)
        timed = {
            "monai": lambda found=prediction, given=reference: monai(found, given),
            "ours": lambda found=prediction, given=reference: ours(found, given),
            "lesions": lambda found=prediction, given=reference: lesion_wise(found, given),
        }
        seconds = in_turns(timed, options.repeats)
        ratio = seconds["ours"] / seconds["monai"]
        print(
            f"{name:>12} {seconds['monai']:8.2f} {seconds['ours']:12.2f} {ratio:6.2f} "
            f"{seconds['lesions']:18.2f}"
        )


def make_case(specks: int) -> tuple[Masks, Masks]:
    """Make nested ellipsoids as prediction and reference, with so many false voxels in the prediction."""
    random = np.random.default_rng(0)
    radii = {"wt": (38, 30, 28), "tc": (24, 20, 18), "et": (16, 14, 12)}
    reference = np.stack([_ellipsoid((120, 110, 80), radii[region.name]) for region in REGIONS])
    moved = [_ellipsoid((122, 111, 79), np.multiply(radii[region.name], 1.05)) for region in REGIONS]
    extra = _ellipsoid((60, 150, 60), (6, 6, 6))
    missing = _ellipsoid((140, 110, 80), (8, 8, 8))
    prediction = np.stack([(one | extra) & ~missing for one in moved])
    places = tuple(random.integers(0, SHAPE, (specks, 3)).T)
    prediction[(slice(None), *places)] = True
    return prediction, reference


def _ellipsoid(center: tuple[float, ...], radii: NDArray[np.float64] | tuple[float, ...]) -> Masks:
    axes = np.ogrid[tuple(slice(0, size) for size in SHAPE)]
    return sum(((one - at) / radius) ** 2 for one, at, radius in zip(axes, center, radii, strict=True)) <= 1


def ours(prediction: Masks, reference: Masks) -> None:
    """Compute all metrics of the package."""
    measure_case(
        prediction, reference, REGIONS, spacing_mm=SPACING_MM, penalty_mm=PENALTY_MM, lesions=GLIOMA_LESIONS
    )


def lesion_wise(prediction: Masks, reference: Masks) -> None:
    """Compute the lesion-wise ones alone."""
    for found, given in zip(prediction, reference, strict=True):
        score_lesions(found, given, SPACING_MM, GLIOMA_LESIONS)


def monai(prediction: Masks, reference: Masks) -> None:
    """Compute Dice, HD95, surface Dice at two tolerances, and the counts of sensitivity and specificity."""
    found, given = (torch.from_numpy(one)[None].float() for one in (prediction, reference))
    compute_dice(found, given, ignore_empty=False)
    compute_hausdorff_distance(found, given, include_background=True, percentile=95, spacing=list(SPACING_MM))
    for tolerance in (1.0, 2.0):
        compute_surface_dice(
            found,
            given,
            [tolerance] * len(REGIONS),
            include_background=True,
            spacing=list(SPACING_MM),
            use_subvoxels=True,
        )
    get_confusion_matrix(found, given, include_background=True)


def in_turns(timed: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Return the median seconds of each, run by turns, after one run that isn't counted."""
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for repeat in range(repeats + 1):
        for name, run in timed.items():
            start = time.perf_counter()
            run()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


if __name__ == "__main__":
    main()
