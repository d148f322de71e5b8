import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from consilium.privacy.accounting import epsilon_spent
from consilium.privacy.mechanism import MOST_STEPS, SMALLEST_NOISE, SampledGaussian, compose

mechanisms = st.builds(
    SampledGaussian,
    noise_multiplier=st.sampled_from([0.5, 1.0, 2.0]),
    sampling_rate=st.sampled_from([0.1, 1.0]),
    steps=st.integers(1, 50),
)


@given(st.lists(mechanisms, max_size=8))
def test_the_order_of_payments_and_their_division_change_nothing(some):
    divided = [SampledGaussian(**one.model_dump() | {"steps": 1}) for one in some for _ in range(one.steps)]
    assert compose(some) == compose(reversed(some)) == compose(divided)
    assert len(compose(some)) == len({(one.noise_multiplier, one.sampling_rate) for one in some})


def test_a_round_repeated_is_as_many_steps():
    one = SampledGaussian(noise_multiplier=2, sampling_rate=0.1, steps=40)
    assert compose([one] * 3) == (one.repeat(3),)


@pytest.mark.parametrize(
    "wrong",
    [
        {"noise_multiplier": 0},
        {"noise_multiplier": float("nan")},
        {"noise_multiplier": float("inf")},
        {"sampling_rate": 0},
        {"sampling_rate": 1.1},
        {"sampling_rate": float("nan")},
        {"steps": 0},
        {"steps": 10**9},
        {"sensitivity": 1},
    ],
)
def test_a_mechanism_outside_its_limits_is_none(wrong):
    with pytest.raises(ValidationError):
        SampledGaussian(**{"noise_multiplier": 1.0, "sampling_rate": 0.1, "steps": 1} | wrong)


def test_one_person_who_was_several_patients_is_bounded_from_above():
    """In a step of everybody, by half the noise; in a sample, also at the rate of either of two."""
    everybody = SampledGaussian(noise_multiplier=4.0, steps=10)
    assert everybody.of_several(2) == SampledGaussian(noise_multiplier=2.0, steps=10)
    sampled = SampledGaussian(noise_multiplier=4.0, sampling_rate=0.3, steps=10)
    exact = SampledGaussian(noise_multiplier=2.0, sampling_rate=1 - 0.7**2, steps=10)
    assert epsilon_spent([sampled.of_several(2)], 1e-4) >= epsilon_spent([exact], 1e-4)
    assert sampled.of_several(5).sampling_rate == 1.0


def test_hardly_any_noise_is_still_a_bound_for_several_patients():
    weak = SampledGaussian(noise_multiplier=0.03, steps=2)
    several = weak.of_several(6)
    assert several.noise_multiplier == SMALLEST_NOISE
    # Plain releases compose by steps / noise**2.
    assert several.steps / several.noise_multiplier**2 >= 2 / 0.005**2


def test_more_steps_than_a_mechanism_holds_are_counted_in_several():
    many = SampledGaussian(noise_multiplier=50.0, sampling_rate=0.01, steps=MOST_STEPS)
    assert [one.steps for one in compose([many, many, many.model_copy(update={"steps": 5})])] == [
        MOST_STEPS,
        MOST_STEPS,
        5,
    ]
