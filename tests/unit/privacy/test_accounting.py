import json
import math
from pathlib import Path

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import norm

from consilium.errors import ConfigurationError
from consilium.privacy import accounting
from consilium.privacy.accounting import epsilon_spent, find_noise_multiplier
from consilium.privacy.mechanism import MOST_STEPS, SampledGaussian

REFERENCE = json.loads(Path(__file__).with_name("dp_accounting.json").read_text())
"""Written by `benchmarks/accounting.py write`, in an environment with dp-accounting 0.6.0."""

mechanisms = st.builds(
    SampledGaussian,
    noise_multiplier=st.floats(0.6, 30),
    sampling_rate=st.one_of(st.just(1.0), st.floats(0.01, 0.5)),
    steps=st.integers(1, 200),
)


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize(
    "schedule",
    [
        pytest.param(one, id=str(number), marks=pytest.mark.long if number % 5 else ())
        for number, one in enumerate(REFERENCE)
    ],
)
def test_it_is_that_of_dp_accounting_within_a_hundredth_and_never_less(schedule):
    mechanisms = [SampledGaussian(**one) for one in schedule["mechanisms"]]
    epsilon = epsilon_spent(mechanisms, schedule["delta"])
    assert schedule["epsilon"] * 0.9999 <= epsilon <= schedule["epsilon"] * 1.01


@pytest.mark.parametrize("noise", [0.5, 1.0, 4.0, 20.0])
def test_one_gaussian_release_is_as_the_closed_formula_has_it(noise):
    def delta_of(epsilon: float) -> float:  # Balle and Wang 2018, arXiv:1805.06530, theorem 8
        return norm.cdf(1 / (2 * noise) - epsilon * noise) - math.exp(epsilon) * norm.cdf(
            -1 / (2 * noise) - epsilon * noise
        )

    exact = brentq(lambda epsilon: delta_of(epsilon) - 1e-5, 0, 100)
    assert exact <= epsilon_spent([SampledGaussian(noise_multiplier=noise)], 1e-5) <= exact * 1.01


def test_the_noise_of_equal_releases_adds_up_as_their_squares():
    four = SampledGaussian(noise_multiplier=4.0, steps=4)
    assert epsilon_spent([four], 1e-5) == pytest.approx(
        epsilon_spent([SampledGaussian(noise_multiplier=2.0)], 1e-5), rel=0.01
    )


@settings(max_examples=examples(4))
@given(st.lists(mechanisms, min_size=1, max_size=2), mechanisms)
def test_whatever_is_released_as_well_costs_more(some, more):
    assert epsilon_spent([*some, more], 1e-4) >= epsilon_spent(some, 1e-4) * 0.995


@settings(max_examples=examples(4))
@given(st.lists(mechanisms, min_size=1, max_size=2))
def test_renyi_orders_are_never_below_the_tighter_bound(some):
    assert accounting._bound(tuple(some), 1e-4) >= epsilon_spent(some, 1e-4)


def test_nothing_released_costs_nothing():
    assert epsilon_spent([], 1e-5) == 0


def test_a_grid_that_fails_leaves_the_bound_by_orders(monkeypatch):
    one = SampledGaussian(noise_multiplier=1.5, sampling_rate=0.125, steps=77)
    bound = accounting._bound((one,), 1e-4)

    def fail(*args: object) -> float:
        raise RuntimeError("Discrete mean differs significantly from continuous mean.")

    accounting._epsilon.cache_clear()
    monkeypatch.setattr(accounting, "_by_grid", fail)
    assert epsilon_spent([one], 1e-4) == bound
    monkeypatch.setattr(accounting, "_by_grid", lambda *args: math.nan)
    accounting._epsilon.cache_clear()
    assert epsilon_spent([one], 1e-4) == bound
    accounting._epsilon.cache_clear()


def test_much_too_little_noise_has_an_epsilon_all_the_same():
    assert 5_000 < epsilon_spent([SampledGaussian(noise_multiplier=0.01)], 1e-5) < math.inf


@pytest.mark.parametrize("delta", [0, -1e-5, 1, 2, math.nan, 1e-12])
def test_a_delta_outside_its_limits_is_refused(delta):
    with pytest.raises(ConfigurationError, match="delta is"):
        epsilon_spent([], delta)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("epsilon", "delta", "rate", "steps"),
    [
        (1.0, 1e-3, 0.08, 800),
        (0.5, 1e-5, 1.0, 10),
        *(
            pytest.param(*one, marks=pytest.mark.long)
            for one in ((8.0, 1e-3, 0.08, 800), (1000.0, 1e-3, 0.08, 40))
        ),
    ],
)
def test_the_noise_that_is_found_keeps_the_promise_and_is_hardly_more_than_needed(
    epsilon, delta, rate, steps
):
    noise = find_noise_multiplier(epsilon, delta, rate, steps)

    def spent(noise: float) -> float:
        return epsilon_spent(
            [SampledGaussian(noise_multiplier=noise, sampling_rate=rate, steps=steps)], delta
        )

    assert spent(noise) <= epsilon
    assert spent(noise * 0.99) > epsilon
    assert float(f"{noise:.4g}") == pytest.approx(noise, rel=1e-9)


@pytest.mark.long
def test_a_promise_that_no_noise_keeps_is_refused_with_its_numbers():
    with pytest.raises(ConfigurationError, match=r"10000000 steps .* epsilon of 1e-06 at a delta of 1e-09"):
        find_noise_multiplier(1e-6, 1e-9, 1.0, 10_000_000)


@pytest.mark.parametrize("epsilon", [0, -1.0, math.inf, math.nan])
def test_an_epsilon_that_is_none_is_refused(epsilon):
    with pytest.raises(ConfigurationError, match="epsilon is"):
        find_noise_multiplier(epsilon, 1e-3, 0.1, 10)


@pytest.mark.parametrize("steps", [0, MOST_STEPS + 1])
def test_a_number_of_steps_that_no_job_has_is_refused_in_words(steps):
    with pytest.raises(ConfigurationError, match=f"the steps of all rounds are {steps:,}; allowed"):
        find_noise_multiplier(3.0, 1e-3, 0.1, steps)


@pytest.mark.long
def test_no_grid_is_computed_for_more_noise_than_any_job_has(monkeypatch):
    """Its mesh would be as fine as there is: a minute, in which the site seems to hang."""
    gridded = []
    monkeypatch.setattr(
        "consilium.privacy.accounting._by_grid",
        lambda mechanisms, delta, bound: gridded.append(mechanisms[0].noise_multiplier) or bound,
    )
    noise = find_noise_multiplier(3.0, 1.1e-3, 0.11, 77)
    assert gridded
    assert max(gridded) < 10 * noise


@pytest.mark.parametrize("noise", [5.0, 11.0, 300.0])
def test_a_rate_of_a_half_is_bounded_as_its_neighbors_are(noise):
    """There, and with much noise, the series takes so long that a slightly larger rate stands for it."""
    below, half, above = (
        accounting._by_orders(
            [SampledGaussian(noise_multiplier=noise, sampling_rate=rate, steps=1000)], 1e-4, (2.5, 8.0, 32)
        )
        for rate in (0.494, 0.5, 0.506)
    )
    assert below <= half <= above
