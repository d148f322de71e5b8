"""Schedule of the learning rate over the rounds of a federation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from consilium.privacy.mechanism import SampledGaussian
from consilium.tasks.learning_settings import LearningSettings


@dataclass(frozen=True, slots=True)
class Schedule:
    """Position of a round in the federation, which determines the learning rate.

    Attributes:
        round_index: The round, from 0.
        rounds: How many rounds the federation trains.
        paid: What the site's ledger has paid for in this round; see `AlgorithmSettings.privacy_plan`.
    """

    round_index: int = 0
    rounds: int = 1
    paid: tuple[SampledGaussian, ...] = ()

    def rate(self, settings: LearningSettings, step: int, steps: int) -> float:
        """Return the learning rate at a step of this round: linear warm-up, then half a cosine to 1 %."""
        progress = (self.round_index + (step + 1) / steps) / self.rounds
        if progress < settings.warmup:
            return settings.learning_rate * progress / settings.warmup
        fall = (progress - settings.warmup) / (1 - settings.warmup)
        return settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(fall, 1.0))))
