"""The whole update of a hospital, clipped and with noise."""

import numpy as np
import pytest

from consilium.errors import TrainingError
from consilium.learning.noisy_update import hide_hospital
from consilium.privacy.hospital_noise import HospitalNoise


def update(scale=1.0, size=20_000):
    random = np.random.default_rng(0)
    return {
        "a": (scale * random.normal(size=(size // 4, 3))).astype(np.float32),
        "b": (scale * random.normal(size=size // 4)).astype(np.float32),
    }


def norm(values):
    return float(np.sqrt(sum(np.sum(np.square(value, dtype=np.float64)) for value in values.values())))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_noise_is_as_large_as_the_hospital_decides_however_long_the_update_is(scale):
    noise = HospitalNoise(clip=0.5, noise_multiplier=3.0)
    noisy = np.concatenate([value.ravel() for value in hide_hospital(update(scale), noise).values()])
    # Of so many samples, the relative standard error of a standard deviation is half a percent.
    assert np.std(noisy) == pytest.approx(0.5 * 3.0, rel=0.03)
    assert abs(np.mean(noisy)) < 5 * 1.5 / np.sqrt(noisy.size)


def test_what_is_below_the_noise_is_the_update_scaled_down_to_the_clip():
    noise, before = HospitalNoise(clip=0.5, noise_multiplier=0.01), update(10.0)
    total = {name: np.zeros(value.shape) for name, value in before.items()}
    for _ in range(50):
        for name, value in hide_hospital(before, noise).items():
            total[name] += value / 50
    expected = {name: value * (0.5 / norm(before)) for name, value in before.items()}
    close = norm({name: total[name] - expected[name] for name in total})
    assert close < 1.1 * 0.01 * 0.5 * np.sqrt(20_000 / 50)


def test_a_short_update_is_not_made_longer():
    short = {"a": np.array([0.3, 0.4], np.float32)}
    mean = np.mean(
        [hide_hospital(short, HospitalNoise(clip=9, noise_multiplier=0.01))["a"] for _ in range(400)], 0
    )
    assert mean == pytest.approx([0.3, 0.4], abs=0.03)


def test_the_noise_is_new_every_time():
    one, other = (hide_hospital(update(), HospitalNoise(clip=1, noise_multiplier=1)) for _ in range(2))
    assert not any(np.array_equal(one[name], other[name]) for name in one)


def test_what_can_have_no_noise_leaves_as_no_change():
    counter = {**update(), "steps": np.array(17, np.int64)}
    hidden = hide_hospital(counter, HospitalNoise(clip=1, noise_multiplier=1))
    assert hidden["steps"] == 0
    assert {name: (value.shape, value.dtype) for name, value in hidden.items()} == {
        name: (value.shape, value.dtype) for name, value in counter.items()
    }
    with pytest.raises(TrainingError, match="no weight that noise could be added to"):
        hide_hospital({"steps": np.array(17)}, HospitalNoise(clip=1, noise_multiplier=1))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_update_that_is_not_finite_stays(value):
    broken = {**update(), "b": np.array([value], np.float32)}
    with pytest.raises(TrainingError, match="not finite"):
        hide_hospital(broken, HospitalNoise(clip=1, noise_multiplier=1))
