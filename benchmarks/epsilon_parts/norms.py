"""Norms of single patients' gradients, from which a clipping bound is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from consilium.data.cached_case import CachedCase
from consilium.learning.algorithms.base import LocalRound, LocalStep
from consilium.learning.schedule import Schedule
from consilium.learning.trainer import Trainer
from consilium.learning.weights import Weights
from consilium.privacy.mechanism import SampledGaussian
from consilium.tasks import get_task
from consilium.tasks.learning_settings import MIN_LEARNING_RATE
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings
from epsilon_parts.federation import CPU, NO_CLIP, LocalDpSgdWithoutNoise
from epsilon_parts.grid import Way


class _Measured(LocalDpSgdWithoutNoise):
    """Keeps the norm of each drawn patient's gradient."""

    norms: tuple[float, ...] = ()

    def compute_gradients(self, local: LocalRound, step: LocalStep) -> Tensor:
        """Compute the gradients of one patient after the other."""
        size = self.samples_per_patient
        for first in range(0, len(step.images), size):
            rows = slice(first, first + size)
            super().compute_gradients(
                local, replace(step, images=step.images[rows], target=step.target[rows])
            )
            found = [one.grad for one in local.network.parameters() if one.grad is not None]
            length = float(torch.cat([one.reshape(-1) for one in found]).norm())
            self.norms += (length * self._expected,)
        return torch.zeros(())


def gradient_norms(
    way: Way, cases: Sequence[CachedCase], learning: SegmentationSettings, start: Weights
) -> list[float]:
    """Return the norm of each patient's gradient before any step, from the shortest.

    Args:
        way: Which weights are trained.
        cases: Of patients who need no protection: the result is exact.
        learning: The job's settings.
        start: The model.
    """
    still = learning.model_copy(update={"learning_rate": MIN_LEARNING_RATE, "local_steps": 1})
    algorithm = _Measured(way.settings(NO_CLIP), still)
    paid = SampledGaussian(noise_multiplier=1, sampling_rate=1, steps=len(cases))
    trainer = Trainer(get_task(learning.task), still, cases, CPU, draw_seed=0, algorithm=algorithm)
    trainer.train(start, Schedule(paid=(paid,)))
    return sorted(algorithm.norms)


def describe(norms: Sequence[float]) -> str:
    """Return median and range.

    Example:
        >>> describe([0.1, 0.2, 0.4])
        'median 0.200, 0.100 to 0.400'
    """
    return f"median {np.median(norms):.3f}, {min(norms):.3f} to {max(norms):.3f}"
