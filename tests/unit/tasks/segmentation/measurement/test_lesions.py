"""Hand-made cases, with scores that can be computed in the head."""

import numpy as np
import pytest

from consilium.tasks.brain_tumor.lesions import GLIOMA_LESIONS
from consilium.tasks.segmentation.measurement.lesions import LesionScores, score_lesions
from tasks.segmentation.measurement.phantoms import UNIT, block

SHAPE = (40, 16, 16)
LEFT = ((2, 2, 2), (8, 8, 8))
"""216 voxels."""
RIGHT = ((30, 2, 2), (36, 8, 8))


def score(prediction, reference, spacing=UNIT):
    return score_lesions(prediction, reference, spacing, GLIOMA_LESIONS)


def test_the_rule_of_the_challenge():
    assert GLIOMA_LESIONS.dilation_mm == 3
    assert GLIOMA_LESIONS.ignored_mm3 == 50
    assert GLIOMA_LESIONS.penalty_mm == 374


def test_nothing_predicted_where_nothing_is_is_perfect():
    empty = block(SHAPE)
    assert score(empty, empty) == LesionScores(1.0, 0.0, detected=0, missed=0, false_positives=0, ignored=0)


def test_a_missed_lesion_halves_the_mean():
    found = score(block(SHAPE, LEFT), block(SHAPE, LEFT, RIGHT))
    assert found == LesionScores(0.5, 187.0, detected=1, missed=1, false_positives=0, ignored=0)


def test_a_false_one_does_so_too_whatever_its_size():
    for corner in (RIGHT, ((30, 2, 2), (31, 3, 3))):
        found = score(block(SHAPE, LEFT, corner), block(SHAPE, LEFT))
        assert found == LesionScores(0.5, 187.0, detected=1, missed=0, false_positives=1, ignored=0)


def test_nothing_found_or_all_invented_is_the_worst():
    whole, empty = block(SHAPE, LEFT, RIGHT), block(SHAPE)
    assert score(empty, whole) == LesionScores(0, 374, detected=0, missed=2, false_positives=0, ignored=0)
    assert score(whole, empty) == LesionScores(0, 374, detected=0, missed=0, false_positives=2, ignored=0)


def test_specks_that_the_dilation_joins_are_one_lesion():
    # Dilations by 3 voxels touch (26 neighbors) across 6 voxels of background, and not across 7.
    near, far = (block(SHAPE, LEFT, ((start, 2, 2), (start + 6, 8, 8))) for start in (14, 15))
    assert score(block(SHAPE, LEFT), near).missed == 0
    assert score(block(SHAPE, LEFT), far).missed == 1
    assert score(block(SHAPE, LEFT), near).dice == pytest.approx(2 * 216 / (216 + 432))


def test_a_dilation_has_the_corners_of_three_steps_of_18_neighbors():
    # Two voxels apart along all three axes: 3 + 3 + 0 of the body is within, 3 + 3 + 3 is not.
    shape = (30, 30, 30)
    rule = GLIOMA_LESIONS
    lesion = ((10, 10, 10), (14, 14, 14))
    for offset, touching in (((3, 3, 0), True), ((3, 3, 1), False), ((2, 2, 2), True), ((3, 2, 2), False)):
        corner = tuple(13 + step for step in offset)
        part = block(shape, (corner, tuple(one + 1 for one in corner)))
        found = score_lesions(part, block(shape, lesion), UNIT, rule)
        assert (found.detected == 1) is touching, offset


def test_small_lesions_are_left_out_with_what_was_predicted_there():
    fifty = ((30, 2, 2), (35, 7, 4))
    assert block(SHAPE, fifty).sum() == 50
    reference = block(SHAPE, LEFT, fifty)
    assert score(block(SHAPE, LEFT), reference) == LesionScores(1, 0, 1, 0, false_positives=0, ignored=1)
    assert score(reference, reference) == LesionScores(1, 0, 1, 0, false_positives=0, ignored=1)
    larger = block(SHAPE, LEFT, fifty)
    larger[29, 2, 2] = True
    assert score(block(SHAPE, LEFT), larger).missed == 1


def test_volume_is_in_mm3_and_not_in_voxels():
    fifty = block(SHAPE, LEFT, ((30, 2, 2), (35, 7, 4)))
    assert score(block(SHAPE, LEFT), fifty, (1.0, 1.0, 1.001)).missed == 1
    assert score(block(SHAPE, LEFT), fifty, (1.0, 1.0, float(np.float32(1.00000001)))).missed == 0


def test_all_parts_at_a_lesion_count_together():
    halves = block(SHAPE, ((2, 2, 2), (5, 8, 8)), ((6, 2, 2), (8, 8, 8)))
    found = score(halves, block(SHAPE, LEFT))
    assert (found.detected, found.false_positives) == (1, 0)
    assert found.dice == pytest.approx(2 * 180 / (180 + 216))


def test_one_part_may_belong_to_two_lesions():
    bridge = block(SHAPE, ((2, 2, 2), (36, 8, 8)))
    found = score(bridge, block(SHAPE, LEFT, RIGHT))
    assert (found.detected, found.false_positives) == (2, 0)
    assert found.dice == pytest.approx(2 * 216 / (216 + bridge.sum()))


def test_the_distance_is_of_the_lesion_alone():
    moved = ((3, 2, 2), (9, 8, 8))
    found = score(block(SHAPE, moved, RIGHT), block(SHAPE, LEFT, RIGHT))
    assert found.hd95_mm == pytest.approx((1.0 + 0.0) / 2)


def test_the_dilation_is_as_wide_on_another_grid():
    # 6 mm of background between two lesions: 2 voxels of 3 mm, 12 of 0.5 mm.
    for size, gap, joined in ((3.0, 2, True), (3.0, 3, False), (0.5, 12, True), (0.5, 13, False)):
        first = ((0, 0, 0), (12, 12, 12))
        second = ((12 + gap, 0, 0), (24 + gap, 12, 12))
        reference = block((24 + gap, 12, 12), first, second)
        found = score(block(reference.shape, first), reference, (size,) * 3)
        assert (found.missed == 0) is joined, (size, gap)
