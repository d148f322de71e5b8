"""Training and evaluation in the site's own process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from consilium.data.cache import CachedCase
from consilium.errors import TrainingError
from consilium.learning.device import open_device
from consilium.learning.evaluator import score_cases
from consilium.learning.rounds import OnStep, TrainingResult
from consilium.learning.schedule import Schedule
from consilium.learning.training_setup import TrainingSetup
from consilium.learning.weights import Weights, WeightSets
from consilium.tasks import get_task
from consilium.tasks.metrics import Scores


class SingleProcess:
    """Trains and evaluates in this process; does what `WorkerGroup` does.

    Args:
        setup: What the site trains with.
    """

    def __init__(self, setup: TrainingSetup) -> None:
        self._learning = setup.learning
        self._task = get_task(setup.learning.task)
        self._device = open_device(setup.compute)
        self._trainer = setup.build_trainer(self._device) if setup.cases else None

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
        """Score weights on labeled cases; see `evaluator.score_cases`."""
        return score_cases(
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
