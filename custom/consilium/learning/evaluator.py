"""Judge weights on a site's labeled cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from consilium.data.cache import CachedCase
from consilium.errors import Cancelled
from consilium.learning.device import Device
from consilium.learning.predictor import Predictor
from consilium.learning.settings import LearningSettings
from consilium.learning.weights import Weights
from consilium.tasks import Task
from consilium.tasks.base import to_regions
from consilium.tasks.metrics import Scores, score_case


def evaluate(
    task: Task,
    settings: LearningSettings,
    weights: Weights,
    cases: Sequence[CachedCase],
    device: Device,
    *,
    distances: bool = True,
    cancelled: Callable[[], bool] = lambda: False,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> list[Scores]:
    """Score weights on labeled cases, each on its own original voxels.

    Args:
        task: What is segmented.
        settings: The settings that the network was trained with.
        weights: The weights to judge.
        cases: Labeled cases.
        device: On what.
        distances: Whether to compute HD95 as well.
        cancelled: Asked before every case.
        on_case: Told cases done and cases in all.

    Returns:
        The scores of each case, in the order of `cases`.

    Raises:
        Cancelled: Within one case after `cancelled` turned true.
    """
    predictor = Predictor(task, settings, weights, device)
    scores = []
    for done, case in enumerate(cases):
        if cancelled():
            raise Cancelled(f"evaluation stopped at case {done} of {len(cases)}")
        if case.reference is None:
            raise ValueError("cases are judged against a reference; this one has none")
        reference = to_regions(torch.from_numpy(case.reference.copy()), task.regions)
        scores.append(
            score_case(
                predictor.regions(case),
                reference,
                task.regions,
                spacing_mm=case.geometry.native_spacing_mm,
                distances=distances,
            )
        )
        on_case(done + 1, len(cases))
    return scores
