"""Mechanisms of differential privacy, as a ledger stores them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from pydantic import Field

from consilium.settings import Settings

SMALLEST_NOISE: Final = 0.01
LARGEST_NOISE: Final = 1e6
MOST_STEPS: Final = 10_000_000


class SampledGaussian(Settings):
    """Gaussian noise on a sum over a random sample of the patients, in a number of steps.

    In each step every patient is in the sample with the same probability, independently of the others
    (Poisson sampling), and changes the sum by at most the sensitivity. The neighbor of a data set is the same
    one without one patient (Mironov et al. 2019, arXiv:1908.10530).

    Attributes:
        noise_multiplier: Standard deviation of the noise, divided by the sensitivity.
        sampling_rate: Probability that a patient is in a step's sample; 1 is a plain Gaussian release.
        steps: How often, each time with a new sample and new noise.

    Example:
        >>> SampledGaussian(noise_multiplier=2.7, sampling_rate=0.08, steps=40).steps
        40
    """

    noise_multiplier: float = Field(ge=SMALLEST_NOISE, le=LARGEST_NOISE)
    sampling_rate: float = Field(default=1.0, gt=0, le=1)
    steps: int = Field(default=1, ge=1, le=MOST_STEPS)

    def repeat(self, times: int) -> SampledGaussian:
        """Return the mechanism with `times` as many steps.

        Args:
            times: At least 1.
        """
        return SampledGaussian(
            noise_multiplier=self.noise_multiplier,
            sampling_rate=self.sampling_rate,
            steps=self.steps * times,
        )

    def of_several(self, number: int) -> SampledGaussian:
        """Return a mechanism that bounds what is released of one person who was counted as several patients.

        Together they are in a step's sample if one of them is, and change the sum by at most `number`
        sensitivities.

        Args:
            number: How many patients, at least 1.

        Example:
            >>> twice = SampledGaussian(noise_multiplier=2, sampling_rate=0.1, steps=40).of_several(2)
            >>> twice.noise_multiplier, twice.sampling_rate
            (1.0, 0.2)
        """
        noise = self.noise_multiplier / number
        if noise >= SMALLEST_NOISE:
            rate = min(1.0, number * self.sampling_rate)
            return SampledGaussian(noise_multiplier=noise, sampling_rate=rate, steps=self.steps)
        # So many releases of the smallest noise there is have at least as much; any limit is far below.
        times = math.ceil((SMALLEST_NOISE / noise) ** 2)
        return SampledGaussian(noise_multiplier=SMALLEST_NOISE, steps=min(self.steps * times, MOST_STEPS))


def compose(mechanisms: Iterable[SampledGaussian]) -> tuple[SampledGaussian, ...]:
    """Merge mechanisms that differ in their steps only, in an order that depends on the mechanisms alone.

    More than `MOST_STEPS` are several mechanisms.

    Example:
        >>> one = SampledGaussian(noise_multiplier=2, sampling_rate=0.1, steps=40)
        >>> [merged.steps for merged in compose([one, one])]
        [80]
    """
    steps: dict[tuple[float, float], int] = {}
    for one in mechanisms:
        kind = (one.noise_multiplier, one.sampling_rate)
        steps[kind] = steps.get(kind, 0) + one.steps
    return tuple(
        SampledGaussian(noise_multiplier=noise, sampling_rate=rate, steps=min(number - first, MOST_STEPS))
        for (noise, rate), number in sorted(steps.items())
        for first in range(0, number, MOST_STEPS)
    )
