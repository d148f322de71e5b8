"""Training and evaluation in the site's own process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from consilium.data.cache import CachedCase
from consilium.errors import TrainingError
from consilium.learning.algorithms import local_algorithm
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.device import open_device
from consilium.learning.evaluator import evaluate
from consilium.learning.round_state import RoundStateStore
from consilium.learning.rounds import OnStep, Schedule, TrainingResult
from consilium.learning.trainer import Trainer
from consilium.learning.weights import Weights, WeightSets
from consilium.tasks import get_task
from consilium.tasks.learning_settings import LearningSettings
from consilium.tasks.metrics import Scores


class SingleProcess:
    """Trains and evaluates in this process; does what `WorkerGroup` does.

    Args:
        learning: What the job decides.
        compute: What the site decides.
        cases: Labeled training cases; none at a site that only evaluates.
        min_patients: See `Trainer`.
        draw_seed: See `Trainer`.
        memory: Folder for the state that a round starts from, kept across restarts; None for none.
        algorithm: What the job decides about it; None for federated averaging.
    """

    def __init__(
        self,
        learning: LearningSettings,
        compute: ComputeSettings,
        cases: Sequence[CachedCase],
        *,
        min_patients: int = 1,
        draw_seed: int | None = None,
        memory: Path | None = None,
        algorithm: AlgorithmSettings | None = None,
    ) -> None:
        self._learning = learning
        self._task = get_task(learning.task)
        self._device = open_device(compute)
        self._trainer = (
            Trainer(
                self._task,
                learning,
                cases,
                self._device,
                loader_workers=compute.loader_workers,
                min_patients=min_patients,
                draw_seed=draw_seed,
                memory=RoundStateStore(memory) if memory else None,
                algorithm=local_algorithm(algorithm, learning) if algorithm else None,
            )
            if cases
            else None
        )

    def train(
        self,
        weights: Weights,
        schedule: Schedule,
        *,
        sets: WeightSets | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        on_step: OnStep = lambda step, steps, loss: None,
    ) -> TrainingResult:
        """Train one round; see `Trainer.train`."""
        if self._trainer is None:
            raise TrainingError("there is no labeled case to train on")
        return self._trainer.train(weights, schedule, sets=sets, cancelled=cancelled, on_step=on_step)

    def score(
        self,
        weights: Weights,
        cases: Sequence[CachedCase],
        *,
        final: bool = True,
        cancelled: Callable[[], bool] = lambda: False,
        on_case: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[Scores | None]:
        """Score weights on labeled cases; see `evaluator.evaluate`."""
        return evaluate(
            self._task,
            self._learning,
            weights,
            cases,
            self._device,
            final=final,
            cancelled=cancelled,
            on_case=on_case,
        )

    def close(self) -> None:
        """Release the network and the optimizer's moments."""
        self._trainer = None
