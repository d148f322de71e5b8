import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from consilium.privacy.mechanism import SampledGaussian, compose

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
