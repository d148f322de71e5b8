"""DP-SGD on the GPU: gradients, clipping and noise are those of the CPU."""

import numpy as np
import pytest
import torch
from learning.tiny import CPU

from consilium.learning.algorithms.dp_sgd import DpSgdAlgorithmSettings, LocalDpSgd
from consilium.learning.patient_gradients import PatientGradients
from consilium.learning.schedule import Schedule
from consilium.privacy.mechanism import SampledGaussian

from .patients import LEARNING, apart, make_patients, start_of, train, vectors_apart

pytestmark = pytest.mark.gpu

CLIP, SIGMA, GRID = 0.02, 3.0, 2.0**-30
SETTINGS = DpSgdAlgorithmSettings(clip=CLIP)
ONE_STEP = LEARNING.model_copy(update={"local_steps": 1})
ROUNDING = 1e-2
"""On an H200 two patients were 7e-7 apart and one 2e-3."""
PAID = Schedule(0, 1, (SampledGaussian(noise_multiplier=SIGMA, sampling_rate=1.0, steps=1),))


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return make_patients(tmp_path_factory.mktemp("patients"))


@pytest.fixture
def watched(monkeypatch):
    """Watch the gradients of patients, what each adds to the sum, and the noise, as vectors."""
    seen = {"gradient": [], "added": [], "noise": []}
    add, add_noise = PatientGradients.add, PatientGradients.add_noise

    def grown(total, before):
        return (total - before).double().cpu().numpy() * CLIP * GRID

    def watch(self, gradients):
        before = self.total.clone()
        counts = add(self, gradients)
        seen["gradient"].append(torch.cat([one.reshape(-1).double().cpu() for one in gradients]).numpy())
        seen["added"].append(grown(self.total, before))
        return counts

    def watch_noise(self, sigma, random):
        before = self.total.clone()
        add_noise(self, sigma, random)
        seen["noise"].append(grown(self.total, before))

    monkeypatch.setattr(PatientGradients, "add", watch)
    monkeypatch.setattr(PatientGradients, "add_noise", watch_noise)
    return seen


def step(cases, device, seen):
    """One step on every patient; returns what was seen and the weights."""
    for values in seen.values():
        values.clear()
    algorithm = LocalDpSgd(SETTINGS, ONE_STEP)
    weights = train(cases, device, ONE_STEP, schedule=PAID, algorithm=algorithm).weights
    return {name: list(values) for name, values in seen.items()}, weights


def check(cases, device, seen, *, near):
    there, _ = step(cases, CPU, seen)
    here, weights = step(cases, device, seen)
    assert len(here["gradient"]) == len(there["gradient"]) == len(cases)
    found = [vectors_apart(*pair) for pair in zip(here["gradient"], there["gradient"], strict=True)]
    print("\ngradients of patients apart by", *(f"{value:.1e}" for value in found))
    assert max(found) < near
    norms = [float(np.linalg.norm(one)) for one in here["added"]]
    assert min(np.linalg.norm(one) for one in here["gradient"]) > CLIP  # so that clipping does something
    assert 0.999 * CLIP < min(norms) <= max(norms) <= CLIP
    (noise,) = here["noise"]
    assert noise.std() == pytest.approx(SIGMA * CLIP, rel=0.02)
    assert abs(noise.mean()) < 5 * SIGMA * CLIP / np.sqrt(noise.size)
    assert apart(weights, start_of(ONE_STEP), {name: value * 0 for name, value in weights.items()}) > 0


def test_in_full_precision_gradients_of_patients_are_the_cpu_s(cases, exact, watched):
    check(cases, exact, watched, near=ROUNDING)


def test_in_its_own_precision_they_are_nearly_the_cpu_s(cases, device, watched):
    check(cases, device, watched, near=0.15)


def test_without_bfloat16_a_gpu_computes_them_in_full_precision(cases, exact, half, watched):
    check(cases, half, watched, near=ROUNDING)
