"""Noise in the sum: as much as was asked for, however many sites drop out, and nothing that wraps."""

import math

import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from consilium.errors import ConfigurationError, TrainingError
from consilium.privacy.accounting import epsilon_spent
from consilium.privacy.mechanism import SampledGaussian
from consilium.secagg.errors import SecAggFailure
from consilium.secagg.masks import MaskStream
from consilium.secagg.noise import noise_room
from consilium.secagg.noisy_vector import (
    NOISE_VARIANCE,
    add_noise,
    noise_levels,
    noise_of_sites,
    round_within,
)
from consilium.secagg.ring import rounding_generator
from consilium.secagg.sum_plan import SumPlan
from consilium.secagg.weighted_sum import MaskedSum, mask_vector
from secagg.test_weighted_sum import seeds_of

VALUES = 20_000
MODEL = {"a": np.zeros((VALUES // 4, 3), np.float32), "b": np.zeros(VALUES // 4, np.float32)}
NORM = 0.5


def plan(noise=1.0, noise_sites=3, **changes):
    levels = noise_levels(noise, noise_sites)
    rules = {"bits": 32, "sites": 64, "bound": NORM, "norm": NORM, "full_weight_cases": 40}
    return SumPlan(**{**rules, "training": "0" * 64, "noise_levels": levels, **changes})


def update(seed, length):
    random = np.random.default_rng(seed)
    drawn = {name: random.normal(size=value.shape) for name, value in MODEL.items()}
    scale = length / math.sqrt(sum(float(np.sum(value**2)) for value in drawn.values()))
    return {name: (value * scale).astype(np.float32) for name, value in drawn.items()}


def flat(values):
    return np.concatenate([np.ravel(values[name]) for name in sorted(values)])


def opened_sum(lengths, rules, cases=40):
    """The opened mean of sites' updates, times the weights' sum: the sum of what they sent."""
    seeds, opening = seeds_of(len(lengths))
    total = MaskedSum(rules, MODEL)
    for place, (length, one) in enumerate(zip(lengths, seeds, strict=True)):
        sent = mask_vector(
            update(place, length), cases=cases, received=MODEL, plan=rules, seeds=one, round_index=0
        )
        total.add(sent.tensors, sent.counts)
    mean = total.open(opening)
    assert total.clipped == 0
    return flat(mean) * len(lengths) * cases / 40


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(("noise", "noise_sites", "sites"), [(1.0, 3, 3), (2.0, 3, 7), (0.5, 2, 5)])
def test_the_sum_of_the_sites_left_has_the_noise_of_so_many_sites(noise, noise_sites, sites):
    summed = opened_sum([0.0] * sites, plan(noise, noise_sites))
    expected = noise_of_sites(noise_levels(noise, noise_sites), sites) * NORM
    assert expected == pytest.approx(noise * NORM * math.sqrt(sites / noise_sites), rel=1e-3)
    # (VALUES - 1) s**2 / sigma**2 has a chi-square distribution: 5 of its standard deviations.
    statistic = float(np.sum((summed / expected) ** 2))
    assert abs(statistic - VALUES) < 5 * math.sqrt(2 * VALUES)
    assert abs(float(np.mean(summed))) < 5 * expected / math.sqrt(VALUES)


@given(st.floats(0.05, 12.0), st.integers(1, 64))
def test_the_noise_is_never_less_than_was_asked_for(noise, sites):
    levels = noise_levels(noise, sites)
    assert noise_of_sites(levels, sites) >= noise * (1 - 1e-12)
    assert noise_of_sites(levels + 1, sites) < noise


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("left", [3, *(pytest.param(more, marks=pytest.mark.long) for more in (4, 9)), 10])
def test_however_many_of_ten_drop_out_the_threshold_s_noise_is_in_the_sum(left):
    """Each site adds as if only the fewest were left; each one beyond them makes it more."""
    summed = opened_sum([0.0] * left, plan(1.0, 3))
    assert float(np.std(summed)) > NORM * (1 - 5 / math.sqrt(2 * VALUES))


@pytest.mark.long
def test_the_mean_of_many_sums_is_the_sum_of_the_updates():
    rules = plan(0.02, 3)
    lengths = [0.4, 0.2, 0.5]
    rounds = [opened_sum(lengths, rules) for _ in range(8)]
    expected = sum(flat(update(place, length)) for place, length in enumerate(lengths))
    error = float(np.linalg.norm(np.mean(rounds, 0) - expected))
    assert error < 1.1 * 0.02 * NORM * math.sqrt(VALUES / 8)


@settings(max_examples=examples(30))
@given(st.floats(1e-6, 1e4), st.floats(0.0, 1.0), st.integers(300, 9000), st.integers(0, 2**32 - 1))
def test_no_update_is_longer_than_the_norm_whatever_it_holds(length, weight, levels, seed):
    steps = round_within(
        update(seed, length), levels=levels, step=NORM / levels, weight=weight, generator=rounding_generator()
    )
    assert float(np.linalg.norm(flat(steps).astype(np.float64))) <= levels
    expected = flat(update(seed, min(length, NORM))) * weight
    if length < 0.5 * NORM:  # what needs not be made shorter is rounded by less than a step
        assert np.max(np.abs(flat(steps) * NORM / levels - expected)) <= NORM / levels * (1 + 1e-6)


def test_rounding_that_would_be_too_long_is_towards_zero():
    class AlwaysUp:
        def random(self, size):
            return np.full(size, 1 - 2**-53)

    vector = {"a": np.full(900, 3.3)}  # of a norm of 99; all rounded up, of 120
    steps = round_within(vector, levels=100, step=1.0, weight=1.0, generator=AlwaysUp())
    assert set(steps["a"]) == {3}


def test_too_few_steps_for_a_network_are_named():
    with pytest.raises(TrainingError, match=f"weights: {VALUES}, steps in the norm: 60"):
        round_within(MODEL, levels=60, step=1.0, weight=1.0, generator=rounding_generator())
    with pytest.raises(ConfigurationError, match="no whole step left"):
        noise_levels(1e5, 3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays(value):
    broken = {**update(0, 1.0), "b": np.full(VALUES // 4, value, np.float32)}
    with pytest.raises(TrainingError, match="not finite"):
        mask_vector(broken, cases=3, received=MODEL, plan=plan(), seeds=[], round_index=0)


def test_nothing_wraps_with_the_longest_updates_of_all_sites_and_their_noise():
    """What 64 sites can send in one coordinate, and 9 standard deviations of their noise, have room."""
    rules = plan(0.01, 3)
    assert rules.code.levels * rules.sites + noise_room(NOISE_VARIANCE, rules.sites) < 2**31
    one = {"a": np.array([1e9]), "b": np.zeros(3)}
    seeds, opening = seeds_of(64)
    total = MaskedSum(rules, one)
    for site in seeds:
        sent = mask_vector(one, cases=99, received=one, plan=rules, seeds=site, round_index=0)
        total.add(sent.tensors, sent.counts)
    mean = total.open(opening)
    assert mean["a"][0] == pytest.approx(NORM, rel=0.05)


def test_negative_steps_are_elements_of_the_ring():
    noisy = add_noise({"a": np.full(4000, -(10**6))}, np.dtype("<u4"))["a"]
    assert noisy.dtype == np.dtype("<u4")
    assert abs(float(np.mean(noisy.view(np.int32))) + 10**6) < 5 * 4096 / math.sqrt(4000)


@pytest.mark.parametrize("changed", [{"bits": 16}, {"bound": 2.0}, {"noise_levels": 2**31}])
def test_rules_that_would_leave_no_room_for_noise_are_rejected(changed):
    with pytest.raises(ValidationError):
        plan(**changed)


def test_rules_with_other_noise_have_other_masks():
    context = [plan(noise).mask_context(MODEL) for noise in (1.0, 2.0)]
    assert context[0] != context[1]
    assert MaskStream(bytes(32), context[0]) is not None


def test_a_sum_longer_than_noise_can_make_it_is_not_used():
    rules = plan(1.0, 3)
    seeds, opening = seeds_of(1)
    sent = mask_vector(update(0, 0.1), cases=40, received=MODEL, plan=rules, seeds=seeds[0], round_index=0)
    total = MaskedSum(rules, MODEL)
    sent.tensors["a"] += np.uint32(60_000)
    total.add(sent.tensors, sent.counts)
    with pytest.raises(SecAggFailure, match="each site clips its own"):
        total.open(opening)


@pytest.mark.parametrize("noise", [0.5, 1.0, 4.0])
def test_steps_are_so_fine_that_the_accountant_s_epsilon_holds(noise):
    """Of one coordinate, in which discrete noise differs most from the Gaussian that is accounted."""
    levels, deviation = noise_levels(noise, 1), math.sqrt(NOISE_VARIANCE)
    steps = np.arange(-12 * 4096, 12 * 4096 + 1, dtype=np.float64)
    logs = -(steps**2) / (2 * deviation**2)
    probabilities = np.exp(logs) / np.sum(np.exp(logs))
    for delta in (1e-3, 1e-5):
        epsilon = epsilon_spent([SampledGaussian(noise_multiplier=noise_of_sites(levels, 1))], delta)
        # With the longest update, and without: privacy loss of each outcome.
        loss = (levels**2 - 2 * steps * levels) / (2 * deviation**2)
        reached = float(np.sum(probabilities * np.maximum(0.0, -np.expm1(epsilon - loss))))
        assert reached <= delta
