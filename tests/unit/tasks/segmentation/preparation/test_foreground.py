"""The box around the head: a few voxels can't enlarge it, and no labeled voxel is ever outside."""

import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from consilium.tasks.segmentation.preparation.foreground import anatomy_box

MM = (1.0, 1.0, 1.0)


def ball(shape=(60, 64, 56), center=(30, 31, 29), radius=18):
    grid = np.indices(shape)
    return (
        np.sum([(axis - middle) ** 2 for axis, middle in zip(grid, center, strict=True)], axis=0) <= radius**2
    )


BOX = ((10, 11, 9), (51, 52, 50))  # of the ball, with two voxels around


def test_the_box_of_a_head_has_a_margin():
    assert anatomy_box(ball(), None, MM) == BOX


@pytest.mark.quick_cases(7)
@pytest.mark.parametrize(
    "where",
    [
        np.s_[0, 0, 0],
        np.s_[-1, :, -1],
        np.s_[1:5, 2:6, 3:5],
        np.s_[::9, ::9, ::9],
        np.s_[:, 60, 20],
        np.s_[30, 31, :7],
    ],
    ids=["a corner", "a line", "a speck", "specks everywhere", "a line beside it", "above the head"],
)
@pytest.mark.parametrize("spacing", [MM, (2.0, 2.0, 2.0), (4.0, 4.0, 4.0), (0.5, 0.5, 5.0)])
def test_voxels_apart_from_the_head_do_not_enlarge_it(where, spacing):
    marked = ball()
    marked[where] = True
    start, stop = anatomy_box(marked, None, spacing)
    near = [2 * max(1, round(3 / size)) + 2 for size in spacing]  # what touches the head belongs to it
    assert all(low - margin <= one <= low for one, low, margin in zip(start, BOX[0], near, strict=True))
    assert all(high <= one <= high + margin for one, high, margin in zip(stop, BOX[1], near, strict=True))


def test_random_noise_in_one_percent_of_the_background_does_not_enlarge_it():
    noise = np.random.default_rng(0).random((60, 64, 56)) < 0.01
    start, stop = anatomy_box(ball() | noise, None, MM)
    assert np.all(np.array(start) >= np.array(BOX[0]) - 6)
    assert np.all(np.array(stop) <= np.array(BOX[1]) + 6)


def test_a_filled_volume_is_kept_whole():
    assert anatomy_box(np.ones((20, 22, 18), dtype=bool), None, MM) == ((0, 0, 0), (20, 22, 18))


def test_two_parts_of_a_head_are_both_kept():
    poles = ball((60, 64, 30), (12, 31, 14), 9) | ball((60, 64, 30), (47, 31, 14), 9)
    assert anatomy_box(poles, None, MM) == ((1, 20, 3), (59, 43, 26))


@pytest.mark.parametrize("shape", [(40, 40, 1), (40, 1, 40), (3, 3, 3), (1, 1, 1)])
def test_thin_and_tiny_volumes_keep_all_that_is_marked(shape):
    marked = np.zeros(shape, dtype=bool)
    marked[tuple(slice(size // 4, size - size // 4) for size in shape)] = True
    start, stop = anatomy_box(marked, None, MM)
    inside = marked[tuple(slice(low, high) for low, high in zip(start, stop, strict=True))]
    assert inside.sum() == marked.sum()


@settings(max_examples=examples(60))
@given(
    seed=st.integers(0, 2**16),
    marks=st.integers(1, 400),
    labels=st.integers(1, 20),
    spacing=st.tuples(*[st.sampled_from([0.001, 0.5, 1.0, 2.4, 6.0])] * 3),
)
def test_no_labeled_voxel_is_outside(seed, marks, labels, spacing):
    random = np.random.default_rng(seed)
    shape = tuple(random.integers(1, 24, 3))
    marked, labeled = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    for mask, count in ((marked, marks), (labeled, labels)):
        mask.ravel()[random.integers(0, mask.size, count)] = True
    start, stop = anatomy_box(marked, labeled, spacing)
    inside = labeled[tuple(slice(low, high) for low, high in zip(start, stop, strict=True))]
    assert inside.sum() == labeled.sum()
    assert all(0 <= low < high <= size for low, high, size in zip(start, stop, shape, strict=True))
