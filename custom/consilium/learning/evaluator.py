"""Evaluation of weights on a site's labeled cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from consilium.data.cached_case import CachedCase, UnreadableCase
from consilium.errors import Cancelled
from consilium.learning.device import Device
from consilium.learning.predictor import Predictor
from consilium.learning.weights import Weights
from consilium.tasks import Task
from consilium.tasks.learning_settings import LearningSettings
from consilium.tasks.metrics import Scores


def score_cases(
    task: Task,
    settings: LearningSettings,
    weights: Weights,
    cases: Sequence[CachedCase],
    device: Device,
    *,
    final: bool = True,
    cancelled: Callable[[], bool] = lambda: False,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> list[Scores | None]:
    """Score weights on labeled cases, each as it was before it was prepared.

    Args:
        task: What is predicted.
        settings: The settings that the network was trained with.
        weights: The weights to evaluate.
        cases: Labeled cases.
        device: On what.
        final: Whether to measure what only final models are measured by as well.
        cancelled: Asked before every case.
        on_case: Called with the number of cases done and of all cases.

    Returns:
        The scores of each case, in the order of `cases`; None for one that can no longer be read.

    Raises:
        Cancelled: Within one case after `cancelled` turned true.
    """
    predictor = Predictor(task, settings, weights, device)
    scores: list[Scores | None] = []
    for done, case in enumerate(cases):
        if cancelled():
            raise Cancelled(f"evaluation stopped at case {done} of {len(cases)}")
        try:
            prediction = predictor.predict(case)
            scores.append(task.evaluation.score(prediction, case, final=final))
        except UnreadableCase:
            scores.append(None)
        on_case(done + 1, len(cases))
    return scores


def measure_cases(
    task: Task,
    settings: LearningSettings,
    weights: Weights,
    cases: Sequence[CachedCase],
    device: Device,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> list[Scores]:
    """Measure weights on labeled cases by all of the task's measures; see `Evaluation.measure`.

    Args:
        task: See `score_cases`.
        settings: See `score_cases`.
        weights: See `score_cases`.
        cases: See `score_cases`.
        device: See `score_cases`.
        cancelled: See `score_cases`.
        on_case: See `score_cases`.

    Returns:
        The measures and counts of each case, in the order of `cases`.

    Raises:
        Cancelled: Within one case after `cancelled` turned true.
        UnreadableCase: A case can no longer be read.
    """
    predictor = Predictor(task, settings, weights, device)
    scores: list[Scores] = []
    for done, case in enumerate(cases):
        if cancelled():
            raise Cancelled(f"evaluation stopped at case {done} of {len(cases)}")
        scores.append(task.evaluation.measure(predictor.predict(case), case))
        on_case(done + 1, len(cases))
    return scores
