"""Properties that hold for every pair of masks."""

import math

import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from consilium.tasks.brain_tumor.lesions import GLIOMA_LESIONS
from consilium.tasks.segmentation.measurement.case import measure_case
from consilium.tasks.segmentation.measurement.definitions import LesionRule, case_metrics
from consilium.tasks.segmentation.measurement.lesions import score_lesions
from consilium.tasks.segmentation.measurement.overlap import Overlap
from consilium.tasks.segmentation.regions import Region
from tasks.segmentation.measurement.phantoms import UNIT, block, phantom

REGION = Region("lesion", "Lesion", frozenset({1}))
QUICK = settings(max_examples=examples(60))

DISTANCES = ("hd95", "lesion_hd95")
SYMMETRIC = ("dice", "hd95", "surface_dice_1mm", "surface_dice_2mm", "absolute_volume_error")


def measure(prediction, reference, spacing=UNIT, rule=GLIOMA_LESIONS, grid_voxels=None):
    scores = measure_case(
        prediction[None],
        reference[None],
        [REGION],
        spacing_mm=spacing,
        penalty_mm=374.0,
        lesions=rule,
        grid_voxels=grid_voxels,
    )
    return {name.removesuffix("_lesion"): value for name, value in scores.items()}


@st.composite
def pairs(draw):
    """Two masks: noise on a tiny grid, or a phantom."""
    if draw(st.booleans()):
        return phantom(draw(st.integers(1000, 10**6)))
    shape = draw(st.tuples(*[st.integers(1, 7)] * 3))
    return draw(arrays.arrays(bool, shape)), draw(arrays.arrays(bool, shape))


SPACINGS = st.tuples(*[st.floats(0.3, 6.0)] * 3)


@QUICK
@given(pair=pairs(), spacing=SPACINGS)
def test_every_metric_is_a_number_in_its_range(pair, spacing):
    scores = measure(*pair, spacing)
    assert list(scores) == [metric.name for metric in case_metrics(374)]
    for metric in case_metrics(374):
        value = scores[metric.name]
        assert type(value) is float
        assert math.isfinite(value)
        assert metric.low <= value <= metric.high


@QUICK
@given(pair=pairs(), spacing=SPACINGS)
def test_exchanging_both_masks_exchanges_what_is_of_one_of_them(pair, spacing):
    prediction, reference = pair
    here, there = measure(prediction, reference, spacing), measure(reference, prediction, spacing)
    for name in SYMMETRIC:
        assert here[name] == pytest.approx(there[name], abs=1e-9), name
    assert here["volume_error"] == pytest.approx(-there["volume_error"])
    assert here["volume"] == there["reference_volume"]


@QUICK
@given(pair=pairs(), spacing=SPACINGS, axis=st.integers(0, 2))
def test_a_mirrored_case_scores_the_same(pair, spacing, axis):
    mirrored = [np.flip(mask, axis) for mask in pair]
    # Areas of surface elements are 32-bit numbers.
    assert measure(*mirrored, spacing) == pytest.approx(measure(*pair, spacing), abs=1e-6)


@QUICK
@given(pair=pairs(), spacing=SPACINGS, order=st.permutations(range(3)))
def test_a_turned_case_scores_the_same(pair, spacing, order):
    turned = [mask.transpose(order) for mask in pair]
    along = tuple(spacing[axis] for axis in order)
    assert measure(*turned, along) == pytest.approx(measure(*pair, spacing), abs=1e-6)


@QUICK
@given(pair=pairs(), spacing=SPACINGS, before=st.tuples(*[st.integers(0, 4)] * 3), after=st.integers(0, 4))
def test_a_moved_case_scores_the_same(pair, spacing, before, after):
    moved = [np.pad(mask, [(steps, after) for steps in before]) for mask in pair]
    voxels = moved[0].size
    expected = measure(*pair, spacing, grid_voxels=voxels)
    assert measure(*moved, spacing) == pytest.approx(expected, abs=1e-9)


@QUICK
@given(pair=pairs(), spacing=SPACINGS, factor=st.sampled_from([0.5, 2.0, 4.0]))
def test_distances_and_volumes_scale_with_the_voxels(pair, spacing, factor):
    rule = LesionRule(3.0, 50.0, 374.0)
    larger = LesionRule(3.0 * factor, 50.0 * factor**3, 374.0)
    before = measure(*pair, spacing, rule)
    after = measure(*pair, tuple(size * factor for size in spacing), larger)
    one_is_empty = pair[0].any() != pair[1].any()
    scale = 1 if one_is_empty else factor
    assert after["hd95"] == pytest.approx(before["hd95"] * scale)
    for name in ("dice", "sensitivity", "specificity", "lesion_dice"):
        assert after[name] == pytest.approx(before[name])
    for name in ("volume", "reference_volume", "volume_error", "absolute_volume_error"):
        assert after[name] == pytest.approx(before[name] * factor**3)


@QUICK
@given(pair=pairs())
def test_dice_of_masks_is_that_of_their_counts(pair):
    prediction, reference = pair
    scores, counts = measure(prediction, reference), Overlap.of(prediction, reference)
    both = (prediction & reference).sum()
    size = prediction.sum() + reference.sum()
    assert scores["dice"] == counts.dice == (2 * both / size if size else 1.0)


@QUICK
@given(pair=pairs(), spacing=SPACINGS)
def test_a_mask_against_itself_is_perfect(pair, spacing):
    scores = measure(pair[0], pair[0], spacing)
    for metric in case_metrics(374):
        if metric.better != "none":
            assert scores[metric.name] == (1 if metric.better == "higher" else 0), metric.name


@QUICK
@given(pair=pairs())
def test_surface_dice_grows_with_its_tolerance(pair):
    scores = measure(*pair)
    assert scores["surface_dice_1mm"] <= scores["surface_dice_2mm"]


@QUICK
@given(size=st.tuples(*[st.integers(4, 9)] * 3), shift=st.tuples(*[st.integers(-3, 3)] * 3))
def test_of_one_lesion_the_lesion_wise_dice_is_the_plain_one(size, shift):
    shape = (20, 20, 20)
    reference = block(shape, ((5, 5, 5), tuple(5 + one for one in size)))
    prediction = np.roll(reference, shift, axis=(0, 1, 2))
    assert reference.sum() > GLIOMA_LESIONS.ignored_mm3
    scores = score_lesions(prediction, reference, UNIT, GLIOMA_LESIONS)
    assert (scores.detected, scores.false_positives) == (1, 0)
    assert scores.dice == pytest.approx(Overlap.of(prediction, reference).dice)


@pytest.mark.parametrize("metric", case_metrics(374), ids=lambda metric: metric.name)
def test_empty_masks_score_what_the_definitions_say(metric):
    whole, empty = block((9, 9, 9), ((2, 2, 2), (8, 8, 8))), block((9, 9, 9))
    for expected, prediction, reference in (
        (metric.when_empty.reference, whole, empty),
        (metric.when_empty.prediction, empty, whole),
        (metric.when_empty.both, empty, empty),
    ):
        if expected is not None:
            assert measure(prediction, reference)[metric.name] == expected


def test_several_regions_each_have_their_scores():
    regions = [Region("core", "Core", frozenset({1})), Region("all", "All", frozenset({1, 2}))]
    reference = np.stack([block((9, 9, 9), ((2, 2, 2), (5, 5, 5))), np.ones((9, 9, 9), bool)])
    prediction = np.stack([np.zeros((9, 9, 9), bool), np.ones((9, 9, 9), bool)])
    scores = measure_case(
        prediction, reference, regions, spacing_mm=UNIT, penalty_mm=374.0, lesions=GLIOMA_LESIONS
    )
    assert len(scores) == 2 * len(case_metrics(374))
    assert (scores["dice_core"], scores["dice_all"]) == (0, 1)


def test_what_does_not_fit_is_rejected():
    masks = np.zeros((1, 4, 4, 4), bool)
    with pytest.raises(ValueError, match="of one shape"):
        measure_case(masks, masks[:, :2], [REGION], spacing_mm=UNIT, penalty_mm=374.0, lesions=GLIOMA_LESIONS)
    with pytest.raises(ValueError, match="larger than 0 mm"):
        measure_case(masks, masks, [REGION], spacing_mm=(1, 0, 1), penalty_mm=374.0, lesions=GLIOMA_LESIONS)
