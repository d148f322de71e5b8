"""FedProx at a site."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from consilium.learning.algorithms.fedprox import FedProxAlgorithmSettings, LocalFedProx
from consilium.learning.schedule import Schedule
from consilium.learning.trainer import Trainer
from learning.test_trainer import TASK, WEIGHTS, learning, same
from learning.tiny import CPU


class Recorded(LocalFedProx):
    """Records gradients and weights before and after the term."""

    def begin(self, local):
        super().begin(local)
        self.seen = []

    def after_backward(self, local):
        def gradients():
            return {name: one.grad.clone() for name, one in local.network.named_parameters()}

        before, weights = gradients(), {n: p.detach().clone() for n, p in local.network.named_parameters()}
        super().after_backward(local)
        self.seen.append((before, weights, gradients()))


def train(cases, mu, kind=LocalFedProx, **changes):
    settings = learning(**changes)
    algorithm = kind(FedProxAlgorithmSettings(mu=mu), settings)
    return Trainer(TASK, settings, cases, CPU, algorithm=algorithm).train(WEIGHTS, Schedule()), algorithm


def test_without_the_term_it_is_plain_training_bit_for_bit(cases):
    plain = Trainer(TASK, learning(), cases, CPU).train(WEIGHTS, Schedule())
    result, _ = train(cases, 0.0)
    assert same(plain.weights, result.weights)
    assert plain.loss == result.loss


def test_the_gradient_is_that_of_the_term(cases):
    mu = 0.7
    _, algorithm = train(cases, mu, Recorded)
    assert len(algorithm.seen) == 5
    for before, weights, after in algorithm.seen:
        for name, weight in weights.items():
            free = weight.clone().requires_grad_()
            (0.5 * mu * ((free - torch.from_numpy(WEIGHTS[name])) ** 2).sum()).backward()
            torch.testing.assert_close(after[name] - before[name], free.grad, rtol=1e-4, atol=1e-6)
    first, *_, last = algorithm.seen
    assert all(torch.equal(first[0][name], first[2][name]) for name in first[0])  # it starts at the model
    assert any(not torch.equal(last[0][name], last[2][name]) for name in last[0])


def test_a_stronger_term_keeps_the_model_nearer(cases):
    def moved(mu):
        result, _ = train(cases, mu, local_steps=30, learning_rate=0.05)
        return np.sqrt(sum(np.sum((result.weights[name] - WEIGHTS[name]) ** 2) for name in WEIGHTS))

    distances = [moved(mu) for mu in (0.0, 1.0, 10.0)]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.7 * distances[0]


def test_the_reported_loss_is_that_of_the_patients(cases):
    (_, free), (_, held) = ((None, train(cases, mu, local_steps=1)[0].loss) for mu in (0.0, 10.0))
    assert free == pytest.approx(held)


def test_a_step_that_overflowed_teaches_a_weight_nothing():
    """With float16, the first scaled losses overflow: the kernels of a missing image get inf times 0."""
    network = torch.nn.Linear(1, 1, bias=False)
    algorithm = LocalFedProx(FedProxAlgorithmSettings(mu=1.0), learning())
    local = SimpleNamespace(network=network)
    algorithm.begin(local)
    with torch.no_grad():
        network.weight += 1.0  # as weight decay moves it
    terms = []
    for gradient in (float("nan"), 0.0, 2.0, 0.0):
        network.weight.grad = torch.full_like(network.weight, gradient)
        algorithm.after_backward(local)
        terms.append(float(network.weight.grad) - gradient)
    assert terms[1:] == [0.0, 1.0, 1.0]
