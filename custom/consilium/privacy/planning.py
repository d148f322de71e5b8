"""Plan of a job's noise before it exists: what its rounds would spend."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from pydantic import Field, model_validator
from typing_extensions import Self

from consilium.privacy.accounting import epsilon_spent, find_noise_multiplier
from consilium.privacy.hospital_noise import LEAST_HOSPITAL_NOISE, MOST_HOSPITAL_NOISE, USUAL_HOSPITAL_DELTA
from consilium.privacy.ledger_entry import ProtectedUnit
from consilium.privacy.mechanism import SampledGaussian
from consilium.privacy.promise import MOST_EPSILON, PrivacyLevel, promised_delta
from consilium.settings import Settings

_SHOWN: Final = (1, 2, 5, 10, 20, 50, 100, 1000)
"""Rounds after which a plan states the epsilon, beside the last."""


class PlannedJob(Settings):
    """Settings of a job with DP-SGD by patient that decide about its noise.

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


class PlannedHospitalNoise(Settings):
    """Noise that hides a hospital as a whole in a job's rounds: its epsilon, or its noise multiplier.

    Attributes:
        epsilon: Most that the whole job may spend of the hospital; None where the noise is given.
        noise_multiplier: Standard deviation of a round's noise, in the norm that the update is scaled down
            to; None where epsilon is given.
        delta: At which delta.
        rounds: Rounds.
    """

    epsilon: float | None = Field(default=None, gt=0, le=MOST_EPSILON)
    noise_multiplier: float | None = Field(default=None, ge=LEAST_HOSPITAL_NOISE, le=MOST_HOSPITAL_NOISE)
    delta: float = Field(default=USUAL_HOSPITAL_DELTA, ge=1e-10, le=0.01)
    rounds: int = Field(default=10, ge=1, le=10_000)

    @model_validator(mode="after")
    def _one_follows_from_the_other(self) -> Self:
        if (self.epsilon is None) == (self.noise_multiplier is None):
            raise ValueError("give the hospital's epsilon or its noise, and not both")
        return self


@dataclass(frozen=True)
class PlannedNoise:
    """Noise of a planned job, and what it spends.

    Attributes:
        unit: Whose presence it hides.
        level: What its epsilon is called; None for the hospital, whose noise is no protection by patient.
        delta: At which delta the rounds are counted.
        noise_multiplier: Standard deviation of the noise divided by the clipping norm.
        sampling_rate: Probability that a step draws a patient; 1 for the hospital, which is in every round.
        epsilon_by_round: What is spent after the first rounds, and after the last: round, epsilon.
    """

    unit: ProtectedUnit
    level: PrivacyLevel | None
    delta: float
    noise_multiplier: float
    sampling_rate: float
    epsilon_by_round: tuple[tuple[int, float], ...]

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {**asdict(self), "level": None if self.level is None else self.level.value}


def plan_noise(job: PlannedJob) -> PlannedNoise:
    """Find the noise that keeps a job's promise to patients.

    Raises:
        ConfigurationError: No noise does.

    Example:
        >>> plan = plan_noise(PlannedJob(epsilon=3, patients=100, rounds=20))
        >>> round(plan.noise_multiplier, 1), plan.level.value
        (2.5, 'formal')
    """
    delta, rate = job.target_delta, job.sampling_rate
    noise = find_noise_multiplier(job.target_epsilon, delta, rate, job.steps * job.rounds)
    each = SampledGaussian(noise_multiplier=noise, sampling_rate=rate, steps=job.steps)
    return PlannedNoise(
        unit="patient",
        level=PrivacyLevel.of(job.target_epsilon),
        delta=delta,
        noise_multiplier=noise,
        sampling_rate=rate,
        epsilon_by_round=_by_round(each, job.rounds, delta),
    )


def plan_hospital_noise(job: PlannedHospitalNoise) -> PlannedNoise:
    """Find the noise that hides a hospital within an epsilon, or the epsilon of a noise.

    The mechanism is a plain Gaussian release in every round, of the hospital's own noise or of the noise in a
    sum as the hospital counts it.

    Raises:
        ConfigurationError: No noise does.

    Example:
        >>> plan = plan_hospital_noise(PlannedHospitalNoise(noise_multiplier=4, rounds=20))
        >>> round(plan.epsilon_by_round[-1][1], 2)
        4.36
    """
    noise = job.noise_multiplier
    if noise is None:
        assert job.epsilon is not None  # by its validator
        noise = find_noise_multiplier(job.epsilon, job.delta, 1.0, job.rounds)
    each = SampledGaussian(noise_multiplier=noise)
    return PlannedNoise(
        unit="hospital",
        level=None,
        delta=job.delta,
        noise_multiplier=noise,
        sampling_rate=each.sampling_rate,
        epsilon_by_round=_by_round(each, job.rounds, job.delta),
    )


def _by_round(each: SampledGaussian, rounds: int, delta: float) -> tuple[tuple[int, float], ...]:
    shown = [number for number in _SHOWN if number < rounds] + [rounds]
    return tuple((number, epsilon_spent([each.repeat(number)], delta)) for number in shown)
