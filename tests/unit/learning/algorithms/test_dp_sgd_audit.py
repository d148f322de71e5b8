"""Audit of DP-SGD by canary patients (Steinke et al. 2023, arXiv:2305.08846), and of the audit by mutants.

Every canary is an image of its own voxels, so that its gradient shares no weight with another's: the worst
case that the guarantee is for. The auditor sees every noisy gradient, more than ever leaves a site.
"""

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from consilium.learning.algorithms.dp_sgd import DpSgdAlgorithmSettings, LocalDpSgd
from consilium.learning.network_state import initial_weights
from consilium.learning.patient_gradients import PatientGradients
from consilium.learning.schedule import Schedule
from consilium.learning.trainer import Trainer
from consilium.privacy.accounting import epsilon_spent
from consilium.privacy.audit import CanaryGuesses
from consilium.privacy.mechanism import SampledGaussian
from learning.tiny import CPU, LEARNING, TinyMethod, TinyTask, cached_case

CANARIES, GUESSES = 64, 32
DELTA = 1e-5
PAID = SampledGaussian(noise_multiplier=2.7, sampling_rate=0.1, steps=50)
SETTINGS = DpSgdAlgorithmSettings(epsilon=2.0, delta=DELTA, clip=0.1)

CELLS = list(product(range(4), repeat=3))
"""Of one octant: with its mirror images, the sampler's flips change nothing."""


class CanaryMethod(TinyMethod):
    """One weight for each channel, cell of 2 x 2 x 2 voxels and region."""

    def build_network(self, settings):
        return nn.Sequential(nn.AvgPool3d(2), nn.Conv3d(4, 3, 8, bias=False), nn.Upsample(scale_factor=16))


TASK = TinyTask(CanaryMethod)


def cells_of(canary):
    """The canary's cell and its mirror images, as a mask `(4, 8, 8, 8)`."""
    mask = np.zeros((4, 8, 8, 8), bool)
    for x, y, z in product(*((one, 7 - one) for one in CELLS[canary])):
        mask[:, x, y, z] = True
    return mask


def image_of(canary):
    mask = cells_of(canary)
    for axis in (1, 2, 3):
        mask = mask.repeat(2, axis=axis)
    return 8.0 * mask


class Observed(LocalDpSgd):
    """Adds up the noisy gradients of all steps."""

    def begin(self, local):
        super().begin(local)
        self.seen = torch.zeros(3, 4, 8, 8, 8)

    def after_backward(self, local):
        self.seen += next(local.network.parameters()).grad
        super().after_backward(local)


@pytest.fixture
def audit(tmp_path):
    """Train once with a random half of the canaries; the lower bound, and what the ledger would say."""

    def run():
        included = np.random.default_rng().random(CANARIES) < 0.5
        cases = [
            cached_case(tmp_path, np.zeros((16, 16, 16)), image_of(place), name=f"P{place}")
            for place in included.nonzero()[0]
        ]
        learning = LEARNING.model_copy(update={"local_steps": PAID.steps, "learning_rate": 1e-7})
        algorithm = Observed(SETTINGS, learning)
        start = {name: 0 * value for name, value in initial_weights(TASK, learning, seed=0).items()}
        Trainer(TASK, learning, cases, CPU, algorithm=algorithm).train(start, Schedule(0, 1, (PAID,)))
        # There is no tumor in a canary: its gradient lowers nothing and raises its own weights.
        scores = [float(algorithm.seen.sum(dim=0)[cells_of(place)].sum()) for place in range(CANARIES)]
        guesses = CanaryGuesses.from_scores(scores, included, guesses=GUESSES)
        return guesses.lower_bound(delta=DELTA), epsilon_spent([PAID], DELTA)

    return run


def test_the_audit_stays_below_the_epsilon_of_the_ledger(audit):
    bound, epsilon = audit()
    assert bound <= epsilon < 2


def test_the_audit_finds_that_the_noise_is_missing(audit, monkeypatch):
    monkeypatch.setattr(PatientGradients, "add_noise", lambda self, sigma, random: None)
    bound, epsilon = audit()
    assert bound > epsilon


@pytest.mark.long
def test_the_audit_finds_that_gradients_are_not_clipped(audit, monkeypatch):
    def add(self, gradients):
        flat = torch.cat([one.reshape(-1) for one in gradients]).double()
        self.total += (flat / self._clip * 2.0**30).to(torch.int64)
        return True

    monkeypatch.setattr(PatientGradients, "add", add)
    bound, epsilon = audit()
    assert bound > epsilon


@pytest.mark.long
def test_the_audit_finds_that_everybody_is_in_every_step(audit, monkeypatch):
    def draw_patients(self, local, patients):
        self._expected = self._require_paid().sampling_rate * patients
        yield from ([*range(patients)] for _ in range(local.steps))

    monkeypatch.setattr(LocalDpSgd, "draw_patients", draw_patients)
    bound, epsilon = audit()
    assert bound > epsilon
