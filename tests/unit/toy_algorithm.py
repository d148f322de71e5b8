"""An algorithm that uses every part of the seam, and lives in tests only.

At the site: a proximal term (FedProx, arXiv:1812.06127), a second weight set that corrects gradients (as
SCAFFOLD's control variates, arXiv:1910.06378) and biases that never leave. At the server: durable momentum
(FedAvgM, arXiv:1909.06335), and a question before training, whose answers decide who trains.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal
from unittest.mock import patch

import numpy as np
import torch
from pydantic import Field

from consilium.errors import SiteRefusal
from consilium.federation import algorithms as at_server
from consilium.federation.algorithms.base import Question, RoundStart
from consilium.federation.algorithms.fedavg import ServerFedAvg
from consilium.federation.component_state import DurableState
from consilium.federation.message_names import TRAIN
from consilium.learning import algorithms as at_site
from consilium.learning.algorithms.base import (
    AlgorithmSettings,
    Declaration,
    LocalAlgorithm,
    LocalState,
    Outgoing,
)
from consilium.learning.algorithms.dialogue import LocalAnswer, SiteDialogue
from consilium.learning.weights import MODEL, join_sets, split_sets
from consilium.records.bounds import Record

GREET = "greet"
CONTROL, CHANGE = "control", "control_change"


class Greeting(Record):
    """What a site answers to a greeting."""

    number: Annotated[int, Field(strict=True, ge=0, le=1000)]


class ToySettings(AlgorithmSettings):
    """Strength of the proximal term, and of the server's momentum."""

    declaration = Declaration(
        received=(CONTROL,), sent=(CHANGE,), numbers={"drift": (0.0, 1e6)}, questions={GREET: Greeting}
    )

    name: Literal["toy"] = "toy"
    mu: float = Field(default=0.1, ge=0, le=10)
    momentum: float = Field(default=0.5, ge=0, lt=1)

    def stays(self, weight):
        return weight.endswith("bias")


class LocalToy(LocalAlgorithm):
    """Hooks of every kind; `own` is this site's control variate."""

    def __init__(self, settings, learning):
        super().__init__(settings, learning)
        self.own = {}
        self.steps = 0

    def begin(self, local):
        self.start = {name: torch.from_numpy(np.array(value)) for name, value in local.start.items()}
        self.correction = {
            name: torch.from_numpy(np.array(value - self.own.get(name, 0.0)))
            for name, value in local.sets.get(CONTROL, {}).items()
        }

    def loss_term(self, local):
        if not self.settings.mu:
            return None
        distances = [((value - self.start[name]) ** 2).sum() for name, value in shared(self, local)]
        return 0.5 * self.settings.mu * sum(distances)

    def after_backward(self, local):
        for name, value in shared(self, local):
            if name in self.correction:
                value.grad += self.correction[name]

    def after_step(self, local):
        self.steps += 1

    def end(self, local):
        moved = {
            name: (self.start[name] - value.detach()).numpy() / local.steps
            for name, value in shared(self, local)
        }
        change = {name: np.asarray(value - self.own.get(name, 0.0)) for name, value in moved.items()}
        self.own = {name: np.array(value) for name, value in moved.items()}
        drift = float(sum(np.abs(value).sum() for value in moved.values()))
        return Outgoing(sets={CHANGE: change}, numbers={"drift": drift})

    def state(self):
        return LocalState({"own": self.own}, {"steps": self.steps})

    def restore(self, state):
        self.own = dict(state.arrays.get("own", {})) if state else {}
        self.steps = state.values["steps"] if state else 0


def shared(algorithm, local):
    parameters = local.network.named_parameters()
    return [(name, value) for name, value in parameters if not algorithm.settings.stays(name)]


class ToyDialogue(SiteDialogue):
    """Answers with twice the number that it is greeted with."""

    def answer(self, question, content, sets):
        if question != GREET or not isinstance(content.get("number"), int):
            raise SiteRefusal("it was not greeted")
        return LocalAnswer({"number": 2 * content["number"]})


class Greetings:
    """Takes greetings, for which nothing is kept on the disk."""

    def __init__(self):
        self.numbers = {}

    def add(self, site, contribution):
        self.numbers[site] = contribution.content.number

    def screen(self):
        return {}


class ServerToy(ServerFedAvg):
    """Greets, then trains with the sites that answered; the step has momentum."""

    def begin(self, weights):
        zeros = {name: np.zeros_like(value) for name, value in self.settings.shared(weights).items()}
        self.velocity, self.control = zeros, zeros

    def questions(self, start: RoundStart) -> Iterator[Question]:
        greetings = Greetings()
        yield Question(greetings, GREET, content={"number": start.index + 1})
        self.greeted = sorted(greetings.numbers)
        training = self.new_aggregation(start)
        yield Question(training, TRAIN, sets={CONTROL: self.control}, among=self.greeted)

    def step(self, weights, aggregate):
        change, control = aggregate.sets[MODEL], aggregate.sets[CHANGE]
        beta = self.settings.momentum
        self.velocity = {name: beta * self.velocity[name] + change[name] for name in change}
        self.control = {name: self.control[name] + control[name] for name in control}
        return {
            name: value + self.velocity[name] if name in change else value for name, value in weights.items()
        }

    def state(self):
        sets = {MODEL: {}, "velocity": self.velocity, CONTROL: self.control}
        return DurableState({"greeted": getattr(self, "greeted", [])}, join_sets(sets))

    def restore(self, state):
        sets = split_sets(state.arrays, ("velocity", CONTROL))
        self.velocity, self.control = sets["velocity"], sets[CONTROL]


@contextmanager
def toy_algorithm(dialogue=ToyDialogue):
    """Know the toy at both ends: the registries are all of the package that it touches."""
    parts = at_site.AlgorithmParts(ToySettings, LocalToy, dialogue)
    with patch.dict(at_site.ALGORITHMS, toy=parts), patch.dict(at_server.ALGORITHMS, toy=ServerToy):
        yield {"name": "toy"}
