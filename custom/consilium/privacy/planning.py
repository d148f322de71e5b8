"""Plan of a job's noise before it exists: what its rounds would spend."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from pydantic import Field, model_validator
from typing_extensions import Self

from consilium.privacy.accounting import epsilon_spent, find_noise_multiplier
from consilium.privacy.mechanism import SampledGaussian
from consilium.privacy.promise import MOST_EPSILON, PrivacyLevel, promised_delta
from consilium.settings import Settings

_SHOWN: Final = (1, 2, 5, 10, 20, 50, 100, 1000)
"""Rounds after which a plan states the epsilon, beside the last."""


class PlannedJob(Settings):
    """Settings of a job that decide about its noise.

    Attributes:
        epsilon: Most that the whole job may spend of a patient; None for the level's usual one.
        level: Level of protection, which `epsilon` has to keep; None for that of `epsilon`.
        delta: At which delta; None for a tenth of one divided by `patients`.
        patients: Training patients of the site.
        batch: Patients that a step draws, on average.
        steps: Steps of a round.
        rounds: Rounds.
    """

    epsilon: float | None = Field(default=None, gt=0, le=MOST_EPSILON)
    level: PrivacyLevel | None = None
    delta: float | None = Field(default=None, ge=1e-10, le=0.01)
    patients: int = Field(ge=1, le=10_000_000)
    batch: int = Field(default=8, ge=1, le=10_000)
    steps: int = Field(default=40, ge=1, le=10_000)
    rounds: int = Field(default=10, ge=1, le=10_000)

    @model_validator(mode="after")
    def _epsilon_is_of_the_level(self) -> Self:
        if self.level is PrivacyLevel.NONE:
            raise ValueError(
                "a job with the level none has no noise to plan; choose reconstruction or formal"
            )
        if self.level is None and self.epsilon is None:
            raise ValueError("give an epsilon, or a level: reconstruction or formal")
        if self.level is not None and (self.epsilon or 0.0) > self.level.most:
            raise ValueError(
                f"an epsilon of {self.epsilon:g} is not {self.level.value}; allowed: at most "
                f"{self.level.most:g}"
            )
        return self

    @property
    def target_epsilon(self) -> float:
        """The epsilon of the promise."""
        return self.epsilon or (self.level or PrivacyLevel.FORMAL).usual

    @property
    def sampling_rate(self) -> float:
        """Probability that a step draws a patient."""
        return min(1.0, self.batch / self.patients)

    @property
    def target_delta(self) -> float:
        """The delta of the promise."""
        return min(0.01, promised_delta(self.patients, self.delta))


@dataclass(frozen=True)
class PlannedNoise:
    """Noise of a planned job, and what it spends.

    Attributes:
        level: What its epsilon is called.
        delta: At which delta the rounds are counted.
        noise_multiplier: Standard deviation of the noise divided by the clipping norm.
        sampling_rate: Probability that a step draws a patient.
        epsilon_by_round: What is spent after the first rounds, and after the last: round, epsilon.
    """

    level: PrivacyLevel
    delta: float
    noise_multiplier: float
    sampling_rate: float
    epsilon_by_round: tuple[tuple[int, float], ...]

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {**asdict(self), "level": self.level.value}


def plan_noise(job: PlannedJob) -> PlannedNoise:
    """Find the noise that keeps a job's promise.

    Raises:
        ConfigurationError: No noise does.

    Example:
        >>> plan = plan_noise(PlannedJob(epsilon=3, patients=100, rounds=20))
        >>> round(plan.noise_multiplier, 1), plan.level.value
        (2.5, 'formal')
    """
    delta, rate = job.target_delta, job.sampling_rate
    shown = [number for number in _SHOWN if number < job.rounds] + [job.rounds]
    noise = find_noise_multiplier(job.target_epsilon, delta, rate, job.steps * job.rounds)
    each = SampledGaussian(noise_multiplier=noise, sampling_rate=rate, steps=job.steps)
    return PlannedNoise(
        level=PrivacyLevel.of(job.target_epsilon),
        delta=delta,
        noise_multiplier=noise,
        sampling_rate=rate,
        epsilon_by_round=tuple((number, epsilon_spent([each.repeat(number)], delta)) for number in shown),
    )
