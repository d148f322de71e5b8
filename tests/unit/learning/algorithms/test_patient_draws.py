"""An algorithm that draws patients for its steps, in the trainer."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from consilium.learning.algorithms.base import LocalAlgorithm
from consilium.learning.algorithms.fedavg import FedAvgAlgorithmSettings
from consilium.learning.device import Device
from consilium.learning.schedule import Schedule
from consilium.learning.trainer import Trainer
from learning.test_trainer import TASK, WEIGHTS, learning, same
from learning.tiny import CPU, TinyMethod, TinyTask


class Drawing(LocalAlgorithm):
    """Draws what it was made with, and takes the mean over patients."""

    max_gradient_norm = None
    samples_per_patient = 2
    withholds_losses = True

    def __init__(self, draws):
        super().__init__(FedAvgAlgorithmSettings(), learning())
        self.draws, self.seen = draws, []

    def draw_patients(self, local, patients):
        self.patients = patients
        yield from self.draws

    def compute_gradients(self, local, step):
        self.seen.append((step.images, step.places.tolist()))
        for first in range(0, len(step.images), 2):
            step.backward(step.loss(step.images[first : first + 2], step.target[first : first + 2]))
        for value in local.network.parameters():
            value.grad = torch.zeros_like(value) if value.grad is None else value.grad / 2
        return torch.zeros(())


def train(cases, draws, task=TASK, device=CPU, **options):
    algorithm = Drawing(draws)
    settings = learning(local_steps=len(draws), batch_size=4)
    trainer = Trainer(task, settings, cases, device, algorithm=algorithm, **options)
    return trainer.train(WEIGHTS, Schedule()), algorithm


def test_each_step_has_the_samples_of_the_patients_drawn(cases):
    visits = [replace(case, patient="Ann" if case.id != "P2" else "Bob") for case in cases]
    result, algorithm = train(visits, [[1], [0, 1], []])
    assert algorithm.patients == 2
    places = [places for _, places in algorithm.seen]
    assert places[0] == [2, 2]
    assert len(places[1]) == 4
    assert places[1][2:] == [2, 2]
    assert places[2] == []
    assert result.steps == 3


def test_a_step_without_patients_is_a_step(cases):
    result, _ = train(cases, [[], []])
    assert result.steps == 2
    assert all(np.isfinite(value).all() for value in result.weights.values())


def test_no_loss_leaves_and_the_patients_of_the_steps_are_not_counted(cases):
    reported = []
    algorithm = Drawing([[0], [0]])
    trainer = Trainer(TASK, learning(local_steps=2), cases, CPU, algorithm=algorithm, min_patients=3)
    result = trainer.train(WEIGHTS, Schedule(), on_step=lambda *step: reported.append(step))
    assert reported == [(1, 2, None), (2, 2, None)]
    assert result.loss is None


class Mixing(TinyMethod):
    """Replaces every sample of a batch by the mean of all, as mixup does, and counts the calls."""

    calls: ClassVar[list[int]] = []

    def augment(self, inputs, share, generator, settings):
        assert len(inputs) == share.size == share.batch_size
        self.calls.append(len(inputs))
        return inputs.mean(dim=0, keepdim=True).expand_as(inputs).clone()


def test_augmentation_never_mixes_two_patients(cases):
    Mixing.calls.clear()
    _, alone = train(cases, [[1]], TinyTask(Mixing))
    _, together = train(cases, [[0, 1, 2]], TinyTask(Mixing))
    assert torch.equal(together.seen[0][0][2:4], alone.seen[0][0])
    assert Mixing.calls == [2] * 4


class Shifting(TinyMethod):
    """Shifts every sample by a number that is drawn."""

    def augment(self, inputs, share, generator, settings):
        return inputs + torch.rand(len(inputs), generator=generator).reshape(-1, 1, 1, 1, 1)


def test_the_augmentation_of_a_patient_does_not_depend_on_who_else_is_drawn(cases):
    _, alone = train(cases, [[1], [1]], TinyTask(Shifting))
    _, together = train(cases, [[0, 1, 2], [0, 1]], TinyTask(Shifting))
    for step in range(2):
        assert torch.equal(together.seen[step][0][2:4], alone.seen[step][0])
    first, second = (images for images, _ in alone.seen)
    assert not torch.equal(first, second)


def test_where_gradients_would_be_scaled_they_are_computed_in_full_precision(cases):
    half = Device(torch.device("cpu"), torch.float16)
    result, algorithm = train(cases, [[0, 1]], device=half)
    whole, _ = train(cases, [[0, 1]])
    assert same(result.weights, whole.weights)
    assert algorithm.seen


@pytest.mark.parametrize("index", [0, 1])
def test_a_round_that_is_repeated_cuts_the_same_samples_of_a_patient(cases, index):
    algorithm = Drawing([[1], [2]])
    trainer = Trainer(TASK, learning(local_steps=2), cases, CPU, algorithm=algorithm)
    for _ in range(2):
        trainer.train(WEIGHTS, Schedule(index, 2))
    first, second, *again = [images for images, _ in algorithm.seen]
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
