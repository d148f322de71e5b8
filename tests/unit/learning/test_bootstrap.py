"""The interval of a mean over patients."""

import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from consilium.learning.bootstrap import FEWEST_PATIENTS, interval_of_mean


def names(count):
    return [f"patient {index}" for index in range(count)]


def column(values):
    return np.asarray(values, dtype=np.float64)[:, None]


def test_the_same_values_have_the_same_interval_in_any_order():
    values, order = np.random.default_rng(1).normal(size=12), np.random.default_rng(2).permutation(12)
    first = interval_of_mean(column(values), names(12))
    again = interval_of_mean(column(values[order]), [names(12)[index] for index in order])
    assert np.array_equal(first, again)


@settings(max_examples=examples(25))
@given(
    st.lists(
        st.lists(st.floats(-1, 1), min_size=1, max_size=3),
        min_size=FEWEST_PATIENTS,
        max_size=3 * FEWEST_PATIENTS,
    )
)
def test_the_interval_holds_the_mean_and_lies_within_the_patients(patients):
    values = [value for own in patients for value in own]
    owners = [name for name, own in zip(names(len(patients)), patients, strict=True) for _ in own]
    low, high = interval_of_mean(column(values), owners)
    assert min(values) - 1e-9 <= low[0] <= np.mean(values) + 1e-9
    assert np.mean(values) - 1e-9 <= high[0] <= max(values) + 1e-9


@pytest.mark.parametrize("count", range(1, FEWEST_PATIENTS))
def test_too_few_patients_have_none(count):
    assert interval_of_mean(column([0.1] * count), names(count)) is None


def test_examinations_of_one_patient_are_not_more_patients():
    values = np.random.default_rng(1).normal(size=8)
    once = interval_of_mean(column(values), names(8))
    thrice = interval_of_mean(column(np.repeat(values, 3)), np.repeat(names(8), 3).tolist())
    assert np.allclose(once, thrice)
    few = names(FEWEST_PATIENTS - 1)
    assert interval_of_mean(column([0.1, 0.2] * len(few)), few * 2) is None


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("count", [5, 8, 20])
def test_it_holds_the_true_mean_about_as_often_as_it_says(count):
    random = np.random.default_rng(count)
    studies = random.normal(0.3, 1.0, size=(count, 400))  # each column is a study of its own
    low, high = interval_of_mean(studies, names(count))
    assert 0.90 <= np.mean((low <= 0.3) & (high >= 0.3)) <= 0.99


def test_columns_are_independent_of_each_other():
    values = np.random.default_rng(3).normal(size=(9, 4))
    low, high = interval_of_mean(values, names(9))
    for place in range(4):
        own = interval_of_mean(values[:, [place]], names(9))
        assert (own[0][0], own[1][0]) == pytest.approx((low[place], high[place]))


def test_a_constant_gain_has_no_width():
    low, high = interval_of_mean(column([0.25] * 6), names(6))
    assert low[0] == pytest.approx(0.25) == high[0]
