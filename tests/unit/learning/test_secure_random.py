import math

import numpy as np
import pytest
import torch
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from consilium.learning.secure_random import SecureRandom

KEY = bytes(range(32))


def test_no_two_generators_draw_the_same_and_one_key_does():
    drawn = [SecureRandom().gaussian(4).tolist() for _ in range(20)]
    assert len({tuple(one) for one in drawn}) == 20
    assert torch.equal(SecureRandom(KEY).gaussian(9), SecureRandom(KEY).gaussian(9))
    random = SecureRandom(KEY)
    assert not torch.equal(random.gaussian(9), random.gaussian(9))


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33)])
def test_a_key_of_another_length_is_rejected(key):
    with pytest.raises(ValueError, match="32 bytes"):
        SecureRandom(key)


def test_gaussian_numbers_have_the_normal_distribution_far_into_its_tails():
    drawn = SecureRandom(KEY).gaussian(1_000_001).numpy()
    assert len(drawn) == 1_000_001
    assert stats.kstest(drawn[:200_000], "norm").pvalue > 1e-3
    assert abs(drawn.mean()) < 5e-3
    assert drawn.std() == pytest.approx(1, abs=5e-3)
    assert 4.5 < np.abs(drawn).max() < 7
    halves = drawn[: 2 * (len(drawn) // 2)].reshape(2, -1)  # the two numbers of a pair are independent
    assert abs(np.corrcoef(*halves)[0, 1]) < 0.01
    assert abs(np.corrcoef(*halves**2)[0, 1]) < 0.01


class Extreme(SecureRandom):
    """Has drawn only zeros, or only ones, as bits."""

    def __init__(self, word):
        super().__init__(KEY)
        self.word = word

    def _words(self, count):
        return torch.full((count,), self.word, dtype=torch.int64)


def test_the_rarest_bits_give_finite_numbers():
    assert SecureRandom.gaussian(Extreme(0), 2)[0] == pytest.approx(math.sqrt(2 * 64 * math.log(2)))
    assert SecureRandom.gaussian(Extreme(-1), 2).abs().max() < 1e-7


@settings(max_examples=examples(30))
@given(st.floats(0, 1), st.integers(0, 50))
def test_decisions_are_as_many_as_asked_for_and_certain_ones_are_certain(probability, count):
    drawn = SecureRandom().bernoulli(probability, count)
    assert drawn.shape == (count,)
    assert probability > 0 or not drawn.any()
    assert probability < 1 or drawn.all()


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("probability", [0.01, 0.08, 0.5, 0.97])
def test_numbers_of_patients_a_step_have_the_binomial_distribution(probability):
    random = SecureRandom(KEY)
    counts = np.array([int(random.bernoulli(probability, 40).sum()) for _ in range(4000)])
    expected = 4000 * stats.binom.pmf(np.arange(41), 40, probability)
    common = expected > 8
    rest = expected[~common].sum() + 1e-9
    seen = np.bincount(counts, minlength=41)
    chi = ((seen[common] - expected[common]) ** 2 / expected[common]).sum()
    chi += (seen[~common].sum() - rest) ** 2 / rest if rest > 5 else 0
    assert stats.chi2.sf(chi, common.sum()) > 1e-3


@pytest.mark.parametrize("probability", [-0.1, 1.1, math.nan])
def test_what_is_no_probability_is_rejected(probability):
    with pytest.raises(ValueError, match="allowed: 0 to 1"):
        SecureRandom().bernoulli(probability, 3)
