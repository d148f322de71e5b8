"""A federation in one process: the product's trainers, privacy plans and aggregation, without messages."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from consilium.aggregation.rules import (
    AggregationRule,
    AggregationSettings,
    euclidean_norm,
)
from consilium.data.cached_case import CachedCase
from consilium.learning.algorithms.base import LocalAlgorithm, LocalRound
from consilium.learning.algorithms.dp_sgd import DpSgdAlgorithmSettings, LocalDpSgd
from consilium.learning.device import Device
from consilium.learning.schedule import Schedule
from consilium.learning.secure_random import SecureRandom
from consilium.learning.trainer import Trainer
from consilium.learning.weights import Weights, difference
from consilium.privacy.mechanism import SampledGaussian
from consilium.tasks import get_task
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings
from epsilon_parts.grid import RATES, Way

CPU: Final = Device(torch.device("cpu"), None)

NO_CLIP: Final = 100.0
"""A bound that no patient's gradient reached."""


class _Silence(SecureRandom):
    """Noise that is zero."""

    def gaussian(self, count: int) -> Tensor:
        """Return zeros, `(count,)`."""
        return torch.zeros(count, dtype=torch.float64)


class LocalDpSgdWithoutNoise(LocalDpSgd):
    """DP-SGD with an epsilon of infinity: same patients, same steps, no noise. No job can name it."""

    def begin(self, local: LocalRound) -> None:
        """Begin as ever, and replace the noise."""
        super().begin(local)
        self._noise = _Silence()


@dataclass(frozen=True)
class Trained:
    """A federation's result.

    Attributes:
        weights: The last model.
        noise: Noise multiplier of each site; 0 without noise.
    """

    weights: Weights
    noise: Mapping[str, float]


def train_federation(
    way: Way,
    sites: Mapping[str, Sequence[CachedCase]],
    learning: SegmentationSettings,
    start: Weights,
    *,
    rounds: int,
    clip: float,
    on_round: Callable[[int], None] = lambda done: None,
) -> Trained:
    """Train a federation to its last round.

    Args:
        way: By which algorithm, with which epsilon.
        sites: Training cases by site.
        learning: The job's settings; its seed decides a plain training's samples.
        start: The global model.
        rounds: How many.
        clip: The bound of a patient's gradient, where there is one.
        on_round: Called with the rounds done.
    """
    learning = learning.model_copy(update={"learning_rate": RATES[way.start, way.trainable]})
    members = {
        name: _member(way, place, cases, learning, rounds, clip)
        for place, (name, cases) in enumerate(sites.items())
    }
    weights = start
    for index in range(rounds):
        updates = {name: one.update(weights, index, rounds) for name, one in members.items()}
        weights = add_updates(weights, updates, {name: float(len(cases)) for name, cases in sites.items()})
        on_round(index + 1)
    noise = {
        name: sum(one.noise_multiplier for one in member.paid) if math.isfinite(way.epsilon) else 0.0
        for name, member in members.items()
    }
    return Trained(weights, noise)


@dataclass(frozen=True)
class _Member:
    """One site: its trainer, and what each round has paid for."""

    trainer: Trainer
    paid: tuple[SampledGaussian, ...] = ()

    def update(self, weights: Weights, index: int, rounds: int) -> Weights:
        result = self.trainer.train(weights, Schedule(index, rounds, self.paid))
        return difference(result.weights, weights)


def _member(
    way: Way,
    place: int,
    cases: Sequence[CachedCase],
    learning: SegmentationSettings,
    rounds: int,
    clip: float,
) -> _Member:
    task, seed = get_task(learning.task), learning.seed * 100 + place
    if way.method != "dp_sgd":
        return _Member(Trainer(task, plain_learning(learning), cases, CPU, draw_seed=seed))
    infinite = math.isinf(way.epsilon)
    settings = way.settings(NO_CLIP if infinite else clip)
    patients = len({case.patient for case in cases})
    algorithm: LocalAlgorithm
    if infinite:
        algorithm = LocalDpSgdWithoutNoise(settings, learning)
        rate = min(1.0, learning.batch_size / patients)
        steps = learning.steps_per_round(len(cases))
        paid = (SampledGaussian(noise_multiplier=1, sampling_rate=rate, steps=steps),)  # and not added
    else:
        algorithm = LocalDpSgd(settings, learning)
        paid = settings.privacy_plan(learning, rounds, patients).each_round
    return _Member(Trainer(task, learning, cases, CPU, draw_seed=seed, algorithm=algorithm), paid)


def plain_learning(learning: SegmentationSettings) -> SegmentationSettings:
    """Return settings of plain training with as many samples a step as DP-SGD expects."""
    size = learning.batch_size * DpSgdAlgorithmSettings().samples_per_patient
    changed: SegmentationSettings = learning.model_copy(update={"batch_size": size})
    return changed


def add_updates(weights: Weights, updates: Mapping[str, Weights], cases: Mapping[str, float]) -> Weights:
    """Return the next model: the sites' mean by a job's default rule is added.

    Args:
        weights: The model.
        updates: Of each site.
        cases: That each site trained on.
    """
    norms = {site: euclidean_norm([np.asarray(one) for one in of.values()]) for site, of in updates.items()}
    rule = AggregationRule(AggregationSettings(), cases, norms)

    def combine(name: str) -> np.ndarray:
        def read(site: str, rows: slice | None) -> np.ndarray:
            value = np.asarray(updates[site][name])
            return value if rows is None else value[rows]

        return rule.combine(np.shape(weights[name]), read)

    return {
        name: np.asarray(value + combine(name), np.asarray(value).dtype) for name, value in weights.items()
    }
