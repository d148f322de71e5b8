"""A few voxels of any value don't change what the network sees of the others."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilium.tasks.segmentation.preparation.intensities import Levels, Scale, standardize


def brain(seed=0, size=20_000):
    """A skewed distribution such as that of T2: most voxels alike, a bright tail."""
    random = np.random.default_rng(seed)
    return np.concatenate([random.normal(500, 60, size), random.normal(900, 60, size // 12)]).astype(np.int16)


def spread_of(voxels):
    low, high = np.percentile(voxels, (5, 95))
    return high - low


def test_the_brain_has_zero_mean_and_unit_standard_deviation():
    normalized = standardize(brain())
    assert normalized.mean() == pytest.approx(0, abs=0.01)
    assert normalized.std() == pytest.approx(1, abs=0.03)


def test_the_formula_of_the_documentation():
    voxels = np.concatenate([brain(), [65530] * 60]).astype(np.uint16)
    v = voxels.astype(float)
    median = np.median(v)
    reach = 30 * np.median(np.abs(v - median))
    plausible = v[np.abs(v - median) <= reach]
    counted = np.clip(plausible, *np.percentile(plausible, (0.5, 99.5)))
    expected = (np.clip(v, median - reach, median + reach) - counted.mean()) / counted.std()
    assert np.allclose(standardize(voxels), expected)


@pytest.mark.quick_cases(7)
@pytest.mark.parametrize("share", [1e-4, 3e-3, 0.05, 0.2])
@pytest.mark.parametrize("value", [65530, 32767, -32768, 1e6, 1e30, -1e12])
def test_hot_voxels_leave_the_others_as_they_are(share, value):
    clean = brain()
    count = max(1, round(share * clean.size))
    hot = np.concatenate([clean.astype(np.float64), np.full(count, value)])
    before, after = standardize(clean), standardize(hot)[: clean.size]
    assert spread_of(after) == pytest.approx(spread_of(before), rel=0.01)
    assert np.median(after) == pytest.approx(np.median(before), abs=0.02)
    assert np.abs(standardize(hot)).max() < 30


def test_wrapped_numbers_leave_the_others_as_they_are():
    clean = brain()
    wrapped = (clean.astype(np.int32) - int(np.percentile(clean, 3))).astype(np.uint16)
    kept = wrapped < 60_000
    assert not kept.all()
    assert spread_of(standardize(wrapped)[kept]) == pytest.approx(
        spread_of(standardize(clean)[kept]), rel=0.1
    )


def test_bright_tumor_keeps_its_contrast():
    voxels = brain()
    brightest = voxels > np.percentile(voxels, 99.8)
    normalized = standardize(voxels)[brightest]
    assert np.unique(normalized).size == np.unique(voxels[brightest]).size


@pytest.mark.parametrize(
    "voxels",
    [
        np.array([1, 2]),
        np.array([7] * 500 + [8]),
        np.array([7] * 500 + [30000]),
        np.array([0.25] * 30 + [1e30]),
        np.array([-3, -2, -2, -1]),
        np.array([1] * 10 + [255] * 9, np.uint8),
    ],
)
def test_few_values_are_normalized_without_a_division_by_zero(voxels):
    normalized = standardize(voxels)
    assert np.isfinite(normalized).all()
    assert np.unique(normalized).size == np.unique(voxels).size


voxel_lists = st.one_of(
    st.lists(st.integers(-40_000, 70_000), min_size=1, max_size=60).map(lambda one: np.array(one)),
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60).map(lambda o: np.array(o, np.float32)),
)


@given(voxels=voxel_lists, percent=st.sampled_from([0.0, 0.5, 50.0, 99.5, 100.0]))
def test_levels_count_as_the_voxels_do(voxels, percent):
    levels = Levels.of(voxels)
    exact = voxels.astype(np.float64)
    assert levels.counts.sum() == voxels.size
    assert levels.percentile(percent) == pytest.approx(np.percentile(exact, percent), abs=1e-6)
    assert (levels.mean(), levels.std()) == pytest.approx((exact.mean(), exact.std()), abs=1e-3, rel=1e-6)
    middle = float(np.median(exact))
    assert levels.distances(middle).percentile(50) == pytest.approx(
        np.median(np.abs(exact - middle)), abs=1e-6
    )
    assert levels.beyond(middle, middle) == np.count_nonzero(exact != middle)


@given(voxels=voxel_lists)
def test_any_values_are_normalized(voxels):
    if np.unique(voxels.astype(np.float64)).size > 1:
        scale = Scale.of(Levels.of(voxels))
        assert scale.low <= scale.dark <= scale.bright <= scale.high
        assert np.isfinite(standardize(voxels)).all()
