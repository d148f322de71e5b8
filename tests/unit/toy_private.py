"""An algorithm that promises an epsilon, for tests only: it trains plainly, and notes what was paid."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal
from unittest.mock import patch

from pydantic import Field

from consilium.learning import algorithms as at_site
from consilium.learning.algorithms.base import AlgorithmSettings, LocalAlgorithm, LocalRound
from consilium.privacy.mechanism import SampledGaussian
from consilium.privacy.promise import PrivacyPlan, PrivacyPromise

NOISE = 2.0
STEPS = 40


class PrivateToySettings(AlgorithmSettings):
    """What it promises, and whether it lies."""

    name: Literal["private_toy"] = "private_toy"
    epsilon: float = Field(default=9.0, gt=0, le=10_000)
    secure_aggregation: bool = False
    plans: bool = True

    def promise(self) -> PrivacyPromise:
        return PrivacyPromise(epsilon=self.epsilon, secure_aggregation=self.secure_aggregation)

    def privacy_plan(self, learning: Any, rounds: int, patients: int) -> PrivacyPlan | None:
        mechanism = SampledGaussian(noise_multiplier=NOISE, sampling_rate=0.1, steps=STEPS)
        return PrivacyPlan((mechanism,), 1e-3) if self.plans else None


class LocalPrivateToy(LocalAlgorithm):
    """Plain training; `paid` is what each round was begun with."""

    paid: list[tuple[SampledGaussian, ...]] = []  # noqa: RUF012

    def begin(self, local: LocalRound) -> None:
        self.paid.append(local.schedule.paid)


@contextmanager
def private_toy(**settings: Any) -> Iterator[dict[str, Any]]:
    """Register the algorithm for a while; yields what a job says about it."""
    LocalPrivateToy.paid = []
    parts = at_site.AlgorithmParts(PrivateToySettings, LocalPrivateToy)
    with patch.dict(at_site.ALGORITHMS, {"private_toy": parts}):
        yield PrivateToySettings(**settings).model_dump(mode="json")
