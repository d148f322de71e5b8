import numpy as np
import pytest

from consilium.tasks.segmentation.measurement.overlap import Overlap, bounding_box


def test_counts_of_a_hand_made_pair():
    prediction, reference = np.zeros((2, 4, 4, 4), bool)
    prediction[:2], reference[1:3] = True, True  # 32 voxels each, 16 in both
    counts = Overlap.of(prediction, reference)
    assert counts == Overlap(both=16, predicted_only=16, reference_only=16, neither=16)
    assert (counts.dice, counts.sensitivity, counts.specificity) == (0.5, 0.5, 0.5)
    assert counts.volumes_ml(125.0) == (4.0, 4.0)


def test_only_specificity_depends_on_what_lies_outside_of_a_crop():
    prediction, reference = np.zeros((2, 4, 4, 4), bool)
    prediction[:2], reference[1:3] = True, True
    cropped = Overlap.of(prediction, reference, grid_voxels=1032)
    assert (cropped.dice, cropped.sensitivity) == (0.5, 0.5)
    assert cropped.specificity == 1 - 16 / 1000


@pytest.mark.parametrize(
    ("prediction", "reference", "dice", "sensitivity", "specificity"),
    [(0, 0, 1, 1, 1), (1, 0, 0, 0, 0), (0, 1, 0, 0, 1), (1, 1, 1, 1, 1)],
)
def test_empty_and_full_masks(prediction, reference, dice, sensitivity, specificity):
    masks = [np.full((2, 2, 2), bool(one)) for one in (prediction, reference)]
    counts = Overlap.of(*masks)
    assert (counts.dice, counts.sensitivity, counts.specificity) == (dice, sensitivity, specificity)


def test_masks_that_do_not_fit_are_rejected():
    with pytest.raises(ValueError, match=r"\(2, 2, 2\).*\(2, 2, 3\)"):
        Overlap.of(np.zeros((2, 2, 2), bool), np.zeros((2, 2, 3), bool))
    with pytest.raises(ValueError, match="grid_voxels is 7"):
        Overlap.of(np.zeros((2, 2, 2), bool), np.zeros((2, 2, 2), bool), grid_voxels=7)


def test_the_box_is_the_smallest_one():
    mask = np.zeros((5, 6, 7), bool)
    assert bounding_box(mask) is None
    mask[1, 2, 3] = mask[4, 5, 0] = True
    assert bounding_box(mask) == (slice(1, 5), slice(2, 6), slice(0, 4))
