"""A GPU without bfloat16: losses are scaled, an overflow skips a step, and the scale is remembered."""

import itertools

import numpy as np
import pytest
from learning.tiny import TinyTask
from torch import nn

from consilium.learning.algorithms import local_algorithm, parse_algorithm
from consilium.learning.round_state import RoundStateStore
from consilium.learning.schedule import Schedule
from consilium.learning.trainer import Trainer
from consilium.tasks.brain_tumor.method import BrainTumorMethod
from consilium.tasks.segmentation.method import RegionLoss

from .patients import LEARNING, TASK, make_patients, start_of

pytestmark = pytest.mark.gpu

FIRST_SCALE = 2.0**16


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return make_patients(tmp_path_factory.mktemp("patients"))


class SteepLoss(nn.Module):
    """The usual loss, but its second one has gradients that half precision can't hold."""

    def __init__(self):
        super().__init__()
        self._loss, self._count = RegionLoss(), itertools.count(1)

    def forward(self, logits, target):
        loss = self._loss(logits, target)
        return loss * 1e9 if next(self._count) == 2 else loss


class SteepMethod(BrainTumorMethod):
    def build_loss(self, settings):
        return SteepLoss()


STEEP = TinyTask(SteepMethod)


def scale_after(folder, rounds):
    return RoundStateStore(folder).recall(rounds).state["scaler"]["scale"]


def test_the_loss_falls(cases, half):
    means = []
    settings = LEARNING.model_copy(update={"local_steps": 40, "learning_rate": 3e-3})
    Trainer(TASK, settings, cases, half).train(
        start_of(settings), Schedule(), on_step=lambda step, steps, loss: means.append(loss)
    )
    losses = np.diff([0, *(step * mean for step, mean in enumerate(means, start=1))])
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


@pytest.mark.parametrize("name", ["fedavg", "fedprox", "scaffold", "ditto"])
def test_an_overflow_skips_a_step_and_is_remembered(cases, half, tmp_path, name):
    settings, start, memory = parse_algorithm({"name": name}), start_of(LEARNING), tmp_path / "memory"
    zeros = {key: np.zeros_like(value) for key, value in start.items()}
    sets = dict.fromkeys(settings.declaration.received, zeros)

    def trainer(task):
        algorithm = local_algorithm(settings, LEARNING)
        store = RoundStateStore(memory)
        return Trainer(task, LEARNING, cases, half, memory=store, algorithm=algorithm)

    result = trainer(STEEP).train(start, Schedule(0, 2), sets=sets)
    assert all(np.isfinite(value).all() for value in result.weights.values())
    after = scale_after(memory, 1)
    assert 0 < after < FIRST_SCALE
    trainer(TASK).train(result.weights, Schedule(1, 2), sets=sets)
    assert scale_after(memory, 2) == after
