import math

import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from consilium.errors import ConfigurationError
from consilium.secagg.noise import (
    LARGEST_VARIANCE,
    SecureIntegers,
    discrete_gaussian,
    noise_room,
    per_site_variance,
    summed_noise_epsilon,
)

KEY = bytes(range(32))


def probabilities(variance, reach):
    """Of -reach .. reach under a discrete Gaussian."""
    values = np.arange(-reach, reach + 1)
    weights = np.exp(-(values.astype(float) ** 2) / (2 * variance))
    return values, weights / weights.sum()


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("variance", [1, 2, 9, 100])
def test_samples_have_the_probabilities_of_a_discrete_gaussian(variance):
    size, reach = 100_000, 6 * math.isqrt(variance) + 6
    samples = discrete_gaussian(variance, size, SecureIntegers(KEY))
    values, expected = probabilities(variance, reach)
    counts = np.array([np.count_nonzero(samples == value) for value in values])
    large = expected * size >= 10
    chi_square = float(np.sum((counts[large] - size * expected[large]) ** 2 / (size * expected[large])))
    freedom = int(large.sum()) - 1
    assert abs(chi_square - freedom) < 5 * math.sqrt(2 * freedom)
    assert np.abs(samples).max() <= reach + 6 * math.sqrt(variance)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("variance", [10_000, LARGEST_VARIANCE])
def test_large_noise_has_its_variance_and_no_bias(variance):
    samples = discrete_gaussian(variance, 100_000, SecureIntegers(KEY)).astype(float)
    assert abs(samples.mean()) < 5 * math.sqrt(variance / samples.size)
    assert samples.var() == pytest.approx(variance, rel=5 * math.sqrt(2 / samples.size))
    assert np.mean(np.abs(samples) < math.sqrt(variance)) == pytest.approx(0.6827, abs=0.01)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(("sites", "fewest"), [(3, 3), (5, 3), pytest.param(10, 6, marks=pytest.mark.long)])
def test_the_sum_of_the_surviving_sites_has_at_least_the_wanted_variance(sites, fewest):
    wanted = 4000.0
    variance = per_site_variance(wanted, fewest)
    for survivors in range(fewest, sites + 1):
        noise = sum(
            discrete_gaussian(variance, 20_000, SecureIntegers(bytes([site, survivors]) * 16))
            for site in range(survivors)
        )
        assert noise.var() == pytest.approx(survivors * variance, rel=0.06)
        assert survivors * variance >= wanted


@given(st.lists(st.integers(1, 2**62), min_size=1, max_size=50))
def test_integers_stay_below_their_bounds(bounds):
    drawn = SecureIntegers().below(np.array(bounds, np.int64))
    assert np.all(drawn >= 0)
    assert np.all(drawn < np.array(bounds))


@pytest.mark.parametrize("bound", [3, 7, 8, 1000])
def test_integers_are_uniform(bound):
    drawn = SecureIntegers(KEY).below(np.full(100_000, bound, np.int64))
    counts = np.bincount(drawn, minlength=bound)
    expected = drawn.size / bound
    assert abs(np.sum((counts - expected) ** 2 / expected) - (bound - 1)) < 5 * math.sqrt(2 * bound)


def test_two_sources_never_draw_the_same():
    assert not np.array_equal(discrete_gaussian(10_000, 50), discrete_gaussian(10_000, 50))


@pytest.mark.parametrize("variance", [0, -1, LARGEST_VARIANCE + 1])
def test_a_variance_that_can_not_be_sampled_exactly_is_refused(variance):
    with pytest.raises(ConfigurationError, match="allowed: 1 to"):
        discrete_gaussian(variance, 1)


@pytest.mark.parametrize(("total", "fewest"), [(0.0, 3), (math.inf, 3), (math.nan, 3), (1.0, 0)])
def test_noise_of_nothing_or_nobody_is_refused(total, fewest):
    with pytest.raises(ConfigurationError, match="a positive finite"):
        per_site_variance(total, fewest)
    with pytest.raises(ConfigurationError, match="a larger bound or a smaller ring"):
        per_site_variance(1e9, 3)


@settings(max_examples=examples(30))
@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 3), st.sampled_from([1.5, 2.0, 4.0]))
def test_the_sum_protects_at_least_as_much_as_is_stated(sites, variance, shift, order):
    """The Rényi divergence of the sum's exact distribution and the shifted one is within the bound."""
    reach = 40 * math.isqrt(variance) + 40
    _, one = probabilities(variance, reach)
    summed = one
    for _ in range(sites - 1):
        summed = np.convolve(summed, one)
    middle = summed.size // 2
    width = 8 * math.isqrt(variance * sites) + int(order * shift) + 3
    here = np.log(summed[middle - width : middle + width])
    shifted = np.log(summed[middle - width + shift : middle + width + shift])
    divergence = math.log(float(np.sum(np.exp(order * here + (1 - order) * shifted)))) / (order - 1)
    epsilon = summed_noise_epsilon(shift, variance, sites, dimension=1)
    assert divergence <= order * epsilon**2 / 2 + 1e-9


def test_no_bound_is_stated_for_too_little_noise():
    with pytest.raises(ConfigurationError, match=r"at least 0\.25"):
        summed_noise_epsilon(1.0, 0.2, 3, 10)


@pytest.mark.long
def test_noise_has_room_in_the_ring():
    variance, sites = 25, 4
    total = sum(discrete_gaussian(variance, 100_000) for _ in range(sites))
    assert np.abs(total).max() < noise_room(variance, sites) == 90
