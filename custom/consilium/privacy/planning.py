"""Plan of a job's noise before it exists: what its rounds would spend."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pydantic import Field

from consilium.privacy.accounting import epsilon_spent, find_noise_multiplier
from consilium.privacy.mechanism import SampledGaussian
from consilium.privacy.promise import MOST_EPSILON, PrivacyLevel
from consilium.settings import Settings


class PlannedJob(Settings):
    """Settings of a job that decide about its noise.

    Attributes:
        epsilon: Most that the whole job may spend of a patient.
        delta: At which delta; None for a tenth of one divided by `patients`.
        patients: Training patients of the site.
        batch: Patients that a step draws, on average.
        steps: Steps of a round.
        rounds: Rounds.
    """

    epsilon: float = Field(gt=0, le=MOST_EPSILON)
    delta: float | None = Field(default=None, ge=1e-10, le=0.01)
    patients: int = Field(ge=1, le=10_000_000)
    batch: int = Field(default=8, ge=1, le=10_000)
    steps: int = Field(default=40, ge=1, le=10_000)
    rounds: int = Field(default=10, ge=1, le=10_000)

    @property
    def sampling_rate(self) -> float:
        """Probability that a step draws a patient."""
        return min(1.0, self.batch / self.patients)

    @property
    def target_delta(self) -> float:
        """The delta of the promise."""
        return min(0.01, 0.1 / self.patients) if self.delta is None else self.delta


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
    steps = job.steps * job.rounds
    noise = find_noise_multiplier(job.epsilon, job.target_delta, job.sampling_rate, steps)
    each = SampledGaussian(noise_multiplier=noise, sampling_rate=job.sampling_rate, steps=job.steps)
    shown = sorted({1, 2, 5, 10, 20, 50, 100, 1000, job.rounds})
    return PlannedNoise(
        level=PrivacyLevel.of(job.epsilon),
        delta=job.target_delta,
        noise_multiplier=noise,
        sampling_rate=job.sampling_rate,
        epsilon_by_round=tuple(
            (number, epsilon_spent([each.repeat(number)], job.target_delta))
            for number in shown
            if number <= job.rounds
        ),
    )
