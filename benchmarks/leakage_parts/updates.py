"""Updates to attack, each made by the trainer as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from consilium.data.cached_case import CachedCase
from consilium.learning.algorithms.base import AlgorithmSettings, LocalAlgorithm, LocalRound, LocalStep
from consilium.learning.algorithms.dp_sgd import DpSgdAlgorithmSettings, LocalDpSgd
from consilium.learning.device import Device
from consilium.learning.schedule import Schedule
from consilium.learning.trainer import Trainer
from consilium.learning.weights import Weights, difference
from consilium.tasks import get_task
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings

CPU: Final = Device(torch.device("cpu"), None)

ROUNDS: Final = 20
"""Of the job whose first round is attacked; it decides the learning rate."""


@dataclass(frozen=True)
class Protection:
    """How a site protects its updates.

    Attributes:
        name: As the tables have it.
        epsilon: That the attacked round spends under DP-SGD by patient; None for a plain training.
        sites: Updates of so many sites are averaged before the attacker sees them.
    """

    name: str
    epsilon: float | None = None
    sites: int = 1


PLAIN: Final = Protection("plain")

UNRELATED: Final = Protection("plain, of another patient (control)")
"""Nothing of the target is in it: what an attack finds then, it had from what the attacker knew before."""

FORMAL_EPSILON: Final = 10.0


@dataclass(frozen=True)
class Update:
    """One site's update, with what an attacker wants to know.

    Attributes:
        weights: The difference that is sent.
        trained: The weights after the training.
        shown: Images of the first step, `(N, C, X, Y, Z)`: one row for each patient.
        regions: What was to be learned from them.
    """

    weights: Weights
    trained: Weights
    shown: Tensor
    regions: Tensor


class _Watched(LocalAlgorithm):
    """Plain local training that keeps what the first step has shown."""

    first: tuple[Tensor, Tensor, Tensor] | None = None

    def compute_gradients(self, local: LocalRound, step: LocalStep) -> Tensor:
        """Keep the first batch, and compute as ever."""
        if self.first is None and len(step.images):
            self.first = (step.images.clone(), step.target.clone(), step.places.clone())
        return super().compute_gradients(local, step)


class _WatchedDpSgd(_Watched, LocalDpSgd):
    """DP-SGD by patient."""


def train_site(
    cases: Sequence[CachedCase],
    learning: SegmentationSettings,
    start: Weights,
    *,
    steps: int,
    patients_a_step: int,
    seed: int,
    protection: Protection = PLAIN,
) -> Update:
    """Train the first round of a site.

    Under differential privacy the expected number of patients a step is `patients_a_step`, and epsilon is
    that of this round alone.

    Args:
        cases: One for each patient.
        learning: The job's settings.
        start: The global model.
        steps: Local steps.
        patients_a_step: Rows of a batch.
        seed: The hospital's draws.
        protection: Its epsilon is used; sites are averaged by the caller.
    """
    own = learning.model_copy(
        update={"local_steps": steps, "local_epochs": None, "batch_size": patients_a_step}
    )
    algorithm: _Watched
    schedule = Schedule(0, ROUNDS)
    if protection.epsilon is None:
        algorithm = _Watched(AlgorithmSettings(name="local"), own)
    else:
        level = "formal" if protection.epsilon <= FORMAL_EPSILON else "reconstruction"
        settings = DpSgdAlgorithmSettings(level=level, epsilon=protection.epsilon)
        algorithm = _WatchedDpSgd(settings, own)
        schedule = Schedule(0, ROUNDS, settings.privacy_plan(own, 1, len(cases)).each_round)
    trainer = Trainer(get_task(own.task), own, cases, CPU, draw_seed=seed, algorithm=algorithm)
    result = trainer.train(start, schedule)
    assert algorithm.first is not None  # there was a step
    shown, regions, places = algorithm.first
    # One row for each patient, in the order of the cases.
    rows = {int(place): row for row, place in reversed(list(enumerate(places)))}
    order = [rows[place] for place in sorted(rows)]
    return Update(difference(result.weights, start), result.weights, shown[order], regions[order])


def mean_of(updates: Sequence[Weights]) -> Weights:
    """Return the mean of several sites' updates: what secure aggregation lets the server see."""
    return {name: sum(one[name] for one in updates) / len(updates) for name in updates[0]}
