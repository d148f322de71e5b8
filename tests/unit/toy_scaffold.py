"""SCAFFOLD (Karimireddy et al. 2020, arXiv:1910.06378), option II, as another would add it.

A second weight set travels in both directions: the server's control variate, and the change of each site's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal
from unittest.mock import patch

import numpy as np
import torch

from consilium.federation import algorithms as at_server
from consilium.federation.algorithms.base import Question, RoundStart
from consilium.federation.algorithms.fedavg import ServerFedAvg
from consilium.federation.component_state import DurableState
from consilium.learning import algorithms as at_site
from consilium.learning.algorithms.base import (
    AlgorithmSettings,
    Declaration,
    LocalAlgorithm,
    LocalState,
    Outgoing,
)
from consilium.learning.weights import MODEL, join_sets, split_sets

CONTROL, CHANGE = "control", "control_change"


class ScaffoldSettings(AlgorithmSettings):
    declaration = Declaration(received=(CONTROL,), sent=(CHANGE,))

    name: Literal["scaffold"] = "scaffold"


class LocalScaffold(LocalAlgorithm):
    """Plain gradient steps, each corrected by the difference of both control variates."""

    max_gradient_norm = None

    def __init__(self, settings, learning):
        super().__init__(settings, learning)
        self.own = {}

    def build_optimizer(self, network):
        return torch.optim.SGD(network.parameters(), lr=self.learning.learning_rate)

    def begin(self, local):
        self.rates = 0.0
        self.control = local.sets[CONTROL]
        self.own = self.own or {name: np.zeros_like(value) for name, value in self.control.items()}

    def after_backward(self, local):
        for name, value in local.network.named_parameters():
            value.grad += torch.from_numpy(self.control[name] - self.own[name])

    def after_step(self, local):
        self.rates += local.optimizer.param_groups[0]["lr"]

    def end(self, local):
        new = {
            name: self.own[name]
            - self.control[name]
            + (local.start[name] - value.detach().numpy()) / np.float32(self.rates)
            for name, value in local.network.named_parameters()
        }
        change = {name: value - self.own[name] for name, value in new.items()}
        self.own = new
        return Outgoing(sets={CHANGE: change})

    def state(self):
        return LocalState({"own": self.own})

    def restore(self, state):
        self.own = dict(state.arrays["own"]) if state else {}


class ServerScaffold(ServerFedAvg):
    """Sends the mean of the sites' control variates with the model."""

    def begin(self, weights):
        self.control = {name: np.zeros_like(value) for name, value in weights.items()}

    def questions(self, start: RoundStart) -> Iterator[Question]:
        yield Question(self.new_aggregation(start), sets={CONTROL: self.control})

    def step(self, weights, aggregate):
        change = aggregate.sets[CHANGE]
        self.control = {name: value + change[name] for name, value in self.control.items()}
        return super().step(weights, aggregate)

    def state(self):
        return DurableState(arrays=join_sets({MODEL: {}, CONTROL: self.control}))

    def restore(self, state):
        self.control = split_sets(state.arrays, (CONTROL,))[CONTROL]


@contextmanager
def scaffold():
    """Know the algorithm: a line in each of both registries."""
    parts = at_site.AlgorithmParts(ScaffoldSettings, LocalScaffold)
    with (
        patch.dict(at_site.ALGORITHMS, scaffold=parts),
        patch.dict(at_server.ALGORITHMS, scaffold=ServerScaffold),
    ):
        yield
