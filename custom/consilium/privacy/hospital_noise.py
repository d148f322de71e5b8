"""Noise that hides a whole hospital: a mechanism whose unit is the hospital and not the patient.

The site's whole update of a round is scaled down to a Euclidean norm C, and Gaussian noise of z C is added in
every direction (McMahan et al. 2018, arXiv:1710.06963, with a hospital in place of a user). A hospital that
had sent an update of zero instead would have changed what leaves by at most C; one with any other data, by at
most 2 C. No patient is clipped, so this is never a protection by patient, whatever its epsilon.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import Field

from consilium.privacy.mechanism import SampledGaussian
from consilium.privacy.promise import MOST_EPSILON, allows_more
from consilium.settings import Settings

LEAST_HOSPITAL_NOISE: Final = 0.01
MOST_HOSPITAL_NOISE: Final = 1e4
"""Noise multipliers that a hospital or a job may ask for."""

USUAL_HOSPITAL_DELTA: Final = 1e-4
"""At which delta a hospital's epsilon is counted, unless the hospital decides."""


class HospitalNoise(Settings):
    """A hospital's decision that every update of its own is clipped and has noise before it leaves.

    Example:
        >>> HospitalNoise(clip=0.5, noise_multiplier=2.0).mechanism.noise_multiplier
        2.0
    """

    clip: float = Field(
        ge=1e-6,
        le=1e6,
        description="Euclidean norm that the whole update of a round is scaled down to; the sensitivity.",
    )
    noise_multiplier: float = Field(
        ge=LEAST_HOSPITAL_NOISE,
        le=MOST_HOSPITAL_NOISE,
        description="Standard deviation of the noise in every direction, in norms of `clip`.",
    )
    epsilon: float | None = Field(
        default=None,
        gt=0,
        le=MOST_EPSILON,
        description="Budget: the most that all jobs together may spend of the hospital as a whole, for ever; "
        "those of a task with its own dataset have a ledger, and a budget, of their own. Default: no limit.",
    )
    delta: float = Field(
        default=USUAL_HOSPITAL_DELTA,
        ge=1e-10,
        le=0.01,
        description="At which delta the hospital's epsilon is counted.",
    )

    @property
    def mechanism(self) -> SampledGaussian:
        """What one round releases: the hospital is in every round, so nothing is sampled."""
        return SampledGaussian(noise_multiplier=self.noise_multiplier)

    def is_looser_than(self, other: HospitalNoise) -> bool:
        """Return whether another decision hides the hospital better, or allows jobs less."""
        return (
            self.noise_multiplier < other.noise_multiplier
            or self.delta > other.delta
            or allows_more(self.epsilon, other.epsilon)
        )


@dataclass(frozen=True)
class RoundNoise:
    """What hides the hospital in one round.

    Attributes:
        mechanism: As the ledger has it.
        added: Noise that the site adds to its own update; None where that of the sum is enough.
    """

    mechanism: SampledGaussian
    added: HospitalNoise | None = None

    @classmethod
    def stronger(cls, own: HospitalNoise | None, of_sum: float | None) -> RoundNoise | None:
        """Return the stronger of a hospital's own noise and that of a sum; None without any.

        Args:
            own: What the hospital decides; None for no noise of its own.
            of_sum: Noise multiplier of the sum, by the hospital's own policy; None without a noisy sum.

        Example:
            >>> RoundNoise.stronger(HospitalNoise(clip=0.5, noise_multiplier=2.0), 3.0).added is None
            True
        """
        if own is not None and (of_sum is None or of_sum < own.noise_multiplier):
            return cls(own.mechanism, own)
        return None if of_sum is None else cls(SampledGaussian(noise_multiplier=of_sum))
