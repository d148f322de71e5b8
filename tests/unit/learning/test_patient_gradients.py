import math

import numpy as np
import pytest
import torch
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from consilium.learning.patient_gradients import PatientGradients
from consilium.learning.secure_random import SecureRandom

KEY = bytes(range(32))
SHAPES = [torch.zeros(3, 2), torch.zeros(4)]
UNIT = 2.0**-30

values = st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False)
gradients = st.lists(values, min_size=10, max_size=10)


def as_gradient(numbers):
    flat = torch.tensor(numbers, dtype=torch.float32)
    return [flat[:6].reshape(3, 2), flat[6:]]


def integer_norm(total):
    """Without any rounding."""
    return math.isqrt(sum(int(value) ** 2 for value in total.tolist()))


@settings(max_examples=examples(60))
@given(gradients, st.sampled_from([1e-3, 0.1, 1.0, 37.5]))
def test_nobody_contributes_more_than_the_bound(numbers, clip):
    step = PatientGradients(SHAPES, clip=clip)
    assert step.add(as_gradient(numbers))
    assert integer_norm(step.total) <= 2**30


@settings(max_examples=examples(60))
@given(st.lists(gradients, min_size=1, max_size=5), gradients)
def test_a_patient_more_or_less_changes_the_sum_by_at_most_the_bound(others, one):
    without, with_one = (PatientGradients(SHAPES, clip=0.5) for _ in range(2))
    for numbers in others:
        without.add(as_gradient(numbers))
        with_one.add(as_gradient(numbers))
    with_one.add(as_gradient(one))
    assert integer_norm(with_one.total - without.total) <= 2**30


@settings(max_examples=examples(60))
@given(st.permutations([[float(i * j % 7 - 3) for j in range(10)] for i in range(6)]))
def test_the_sum_is_the_same_in_whatever_order_bit_for_bit(order):
    first, second = (PatientGradients(SHAPES, clip=1.0) for _ in range(2))
    for numbers in order:
        first.add(as_gradient(numbers))
    for numbers in sorted(order):
        second.add(as_gradient(numbers))
    assert torch.equal(first.total, second.total)


def test_without_noise_and_below_the_bound_it_is_the_gradient_of_the_mean_over_patients():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(2, 4, 3), nn.InstanceNorm3d(4), nn.ReLU(), nn.Conv3d(4, 1, 1))
    patients = torch.randn(5, 2, 2, 6, 6, 6)  # two patches each
    parameters = list(network.parameters())
    step = PatientGradients(parameters, clip=100.0)
    for patient in patients:
        step.add(torch.autograd.grad(network(patient).square().mean(), parameters))
    torch.stack([network(patient).square().mean() for patient in patients]).mean().backward()
    for ours, parameter in zip(step.mean(expected=5.0), parameters, strict=True):
        assert ours.dtype == parameter.dtype
        torch.testing.assert_close(ours, parameter.grad, rtol=1e-4, atol=1e-6)


def test_a_long_gradient_keeps_its_direction():
    step = PatientGradients([torch.zeros(2)], clip=1.0)
    step.add([torch.tensor([3e20, -4e20])])
    torch.testing.assert_close(step.mean(1.0)[0], torch.tensor([0.6, -0.8]), rtol=1e-6, atol=0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_not_finite_counts_as_a_patient_not_drawn(value):
    step = PatientGradients([torch.zeros(2)], clip=1.0)
    step.add([torch.tensor([0.5, 0.0])])
    before = step.total.clone()
    assert not step.add([torch.tensor([value, 1.0])])
    assert torch.equal(step.total, before)


@pytest.mark.parametrize(("sigma", "clip"), [(0.01, 1.0), (1.4, 0.1), (6.7, 20.0)])
def test_noise_has_the_standard_deviation_that_is_paid_for(sigma, clip):
    step = PatientGradients([torch.zeros(200, 500)], clip=clip)
    step.add_noise(sigma, SecureRandom(KEY))
    noise = (step.mean(1.0)[0] / (sigma * clip)).flatten().numpy()
    assert noise.std() == pytest.approx(1, abs=0.01)
    assert stats.kstest(noise, "norm").pvalue > 1e-3


def test_a_step_without_patients_is_noise_alone_and_divided_by_the_expected_number():
    step = PatientGradients([torch.zeros(100_000)], clip=2.0)
    step.add_noise(1.0, SecureRandom(KEY))
    assert float(step.mean(expected=8.0)[0].std()) == pytest.approx(2.0 / 8, rel=0.02)


def test_the_low_bits_reveal_nothing_of_what_was_added():
    """Every sum lies on one grid, whatever the data, and none is recognized by bits below the noise's."""
    for gradient in ([0.1, 0.2], [1 / 3, 1e-12], [-0.7, 0.0]):
        step = PatientGradients([torch.zeros(2, dtype=torch.float64)], clip=1.0)
        step.add([torch.tensor(gradient, dtype=torch.float64)])
        step.add_noise(1.0, SecureRandom(KEY))
        steps = step.mean(1.0)[0] / UNIT
        assert torch.equal(steps, steps.round())


@pytest.mark.parametrize("sigma", [0.0, -1.0, 1e-4, 1e6, math.nan, math.inf])
def test_no_noise_or_noise_out_of_bounds_is_rejected(sigma):
    with pytest.raises(ValueError, match="sigma is"):
        PatientGradients(SHAPES, clip=1.0).add_noise(sigma, SecureRandom(KEY))


@pytest.mark.parametrize("clip", [0.0, -1.0, math.inf, math.nan])
def test_a_bound_that_bounds_nothing_is_rejected(clip):
    with pytest.raises(ValueError, match="clipping bound"):
        PatientGradients(SHAPES, clip=clip)


def test_the_largest_noise_leaves_the_sum_exact():
    step = PatientGradients([torch.zeros(10_000)], clip=1.0)
    step.add_noise(1e5, SecureRandom(KEY))
    before = step.total.clone()
    step.add([torch.full((10_000,), 0.01)])
    moved = (step.total - before).numpy()
    assert np.abs(moved - 0.01 / UNIT).max() < 0.01 / UNIT * 1e-6


def test_a_gradient_of_another_size_is_rejected():
    with pytest.raises(ValueError, match="3 numbers; expected: 10"):
        PatientGradients(SHAPES, clip=1.0).add([torch.zeros(3)])
