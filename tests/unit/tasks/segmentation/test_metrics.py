import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion, distance_transform_edt

from consilium.tasks import get_task
from consilium.tasks.brain_tumor.lesions import PENALTY_MM
from consilium.tasks.segmentation.scoring import score_case

EVALUATION = get_task("brain_tumor").evaluation
REGIONS = get_task("brain_tumor").targets
ISOTROPIC = (1.0, 1.0, 1.0)
ANISOTROPIC = (0.5, 1.0, 3.0)


def masks(tc, wt, et):
    return torch.stack([torch.as_tensor(mask, dtype=torch.bool) for mask in (tc, wt, et)])


def test_both_empty_is_perfect_and_one_empty_is_the_worst():
    empty, block = np.zeros((8, 8, 8)), np.zeros((8, 8, 8))
    block[2:5, 2:5, 2:5] = 1
    scores = score_case(
        masks(empty, block, empty),
        masks(empty, empty, block),
        REGIONS,
        spacing_mm=ISOTROPIC,
        penalty_mm=PENALTY_MM,
    )
    assert (scores["dice_tc"], scores["hd95_tc"]) == (1, 0)  # nothing there, nothing predicted
    assert (scores["dice_wt"], scores["hd95_wt"]) == (0, 374)  # invented
    assert (scores["dice_et"], scores["hd95_et"]) == (0, 374)  # missed
    assert PENALTY_MM == 374


def test_dice_is_twice_the_overlap_over_the_sum():
    first, second = np.zeros((8, 8, 8)), np.zeros((8, 8, 8))
    first[0:4], second[1:4] = 1, 1
    scores = score_case(
        masks(first, first, first),
        masks(second, first, second),
        REGIONS,
        spacing_mm=ISOTROPIC,
        penalty_mm=PENALTY_MM,
    )
    assert scores["dice_tc"] == pytest.approx(2 * 3 / (4 + 3))
    assert scores["dice_wt"] == 1
    assert scores["hd95_wt"] == 0


def hd95_by_distance_maps(prediction, reference, spacing):
    """Both surfaces' distances to the other, from full distance maps, without any of MONAI."""
    surfaces = [mask & ~binary_erosion(mask) for mask in (prediction, reference)]
    maps = [distance_transform_edt(~surface, sampling=spacing) for surface in surfaces]
    return max(np.percentile(maps[1][surfaces[0]], 95), np.percentile(maps[0][surfaces[1]], 95))


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("spacing", [ISOTROPIC, ANISOTROPIC])
@pytest.mark.parametrize("seed", range(4))
def test_hd95_agrees_with_distance_maps(spacing, seed):
    random = np.random.default_rng(seed)
    prediction, reference = (np.zeros((3, 14, 18, 11), bool) for _ in range(2))
    for mask in (*prediction, *reference):
        for _ in range(2):  # boxes, also at the border of the volume
            start = random.integers(0, [11, 15, 8])
            stop = start + random.integers(2, 8, 3)
            mask[tuple(map(slice, start, stop))] = True
    scores = score_case(
        torch.from_numpy(prediction),
        torch.from_numpy(reference),
        REGIONS,
        spacing_mm=spacing,
        penalty_mm=PENALTY_MM,
    )
    for index, region in enumerate(REGIONS):
        expected = hd95_by_distance_maps(prediction[index], reference[index], spacing)
        assert scores[f"hd95_{region.name}"] == pytest.approx(expected, abs=1e-4)


def test_distances_cost_nothing_where_nobody_asked():
    block = np.ones((4, 4, 4))
    scores = score_case(
        masks(block, block, block),
        masks(block, block, block),
        REGIONS,
        spacing_mm=ISOTROPIC,
        penalty_mm=PENALTY_MM,
        distances=False,
    )
    assert set(scores) == {"dice_tc", "dice_wt", "dice_et"}


def test_a_summary_is_the_mean_over_cases_and_then_over_regions():
    rows = [
        {"dice_tc": 0.2, "dice_wt": 0.4, "dice_et": 0.0, "hd95_tc": 10.0, "hd95_wt": 0.0, "hd95_et": 0.0},
        {"dice_tc": 0.6, "dice_wt": 1.0, "dice_et": 0.2, "hd95_tc": 30.0, "hd95_wt": 374.0, "hd95_et": 2.0},
    ]
    dice = {"dice": 0.4, "dice_tc": 0.4, "dice_wt": 0.7, "dice_et": 0.1}
    distance = {"hd95": 208 / 3, "hd95_tc": 20, "hd95_wt": 187, "hd95_et": 1}
    assert EVALUATION.summarize(rows) == pytest.approx({**dice, **distance})


def test_a_summary_without_distances_has_no_hd95_and_one_of_nothing_is_empty():
    row = {"dice_tc": 0.5, "dice_wt": 0.5, "dice_et": 0.5}
    assert EVALUATION.summarize([row]) == {"dice": 0.5, **row}
    assert EVALUATION.summarize([]) == {}
