"""What a job offers a site's patients: its promise, before data is read, and its plan for their number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final

from consilium.privacy.mechanism import SampledGaussian

FORMAL_EPSILON: Final = 10.0
"""Largest epsilon called a reasonable guarantee (Ponomareva et al. 2023, doi 10.1613/jair.1.14649)."""

MOST_EPSILON: Final = 10_000.0
"""Largest epsilon with which noise counts as a protection at all."""

_DELTA_SHARE: Final = 0.1


class PrivacyLevel(str, Enum):
    """Strength of a job's protection of a patient, from weak to strong.

    Attributes:
        NONE: What leaves a site has no noise.
        RECONSTRUCTION: There is noise, with an epsilon too large for more than a defense against the
            reconstruction of images (Ziller et al. 2024, doi 10.1038/s42256-024-00858-y). Whether a patient
            was in the data may be found out.
        FORMAL: Epsilon is at most `FORMAL_EPSILON`: whether a patient was in the data is hard to find out.
    """

    NONE = "none"
    RECONSTRUCTION = "reconstruction"
    FORMAL = "formal"

    @classmethod
    def of(cls, epsilon: float | None) -> PrivacyLevel:
        """Return the level of an epsilon; None is no noise.

        Example:
            >>> PrivacyLevel.of(8.0).value, PrivacyLevel.of(50.0).value
            ('formal', 'reconstruction')
        """
        if epsilon is None or not epsilon <= MOST_EPSILON:
            return cls.NONE
        return cls.FORMAL if epsilon <= FORMAL_EPSILON else cls.RECONSTRUCTION

    @property
    def most(self) -> float:
        """Largest epsilon of the level."""
        limits = {PrivacyLevel.FORMAL: FORMAL_EPSILON, PrivacyLevel.RECONSTRUCTION: MOST_EPSILON}
        return limits.get(self, math.inf)

    @property
    def usual(self) -> float:
        """Epsilon of a job that states the level alone."""
        return {PrivacyLevel.FORMAL: 8.0, PrivacyLevel.RECONSTRUCTION: 1000.0}.get(self, math.inf)

    def reaches(self, demanded: PrivacyLevel) -> bool:
        """Return whether this is at least as strong as what is demanded."""
        order = list(PrivacyLevel)
        return order.index(self) >= order.index(demanded)


def allows_more(epsilon: float | None, other: float | None) -> bool:
    """Return whether a limit of epsilon is above another one; None is no limit.

    Example:
        >>> allows_more(None, 8.0), allows_more(3.0, 8.0), allows_more(None, None)
        (True, False, False)
    """
    limits = [math.inf if limit is None else limit for limit in (epsilon, other)]
    return limits[0] > limits[1]


def promised_delta(patients: int, delta: float | None = None) -> float:
    """Return the delta at which a job keeps its promise at a site.

    That of giving away one patient of all is one divided by their number, so it is at most a tenth of that.

    Args:
        patients: Training patients of the site.
        delta: The job's own; None for the largest.

    Example:
        >>> promised_delta(100), promised_delta(100, 1e-5)
        (0.001, 1e-05)
    """
    return min(_DELTA_SHARE / patients, 1.0 if delta is None else delta)


@dataclass(frozen=True)
class PrivacyPromise:
    """What a job promises by its settings alone.

    Attributes:
        epsilon: Most that the whole job spends of a patient; None if what leaves has no noise.
        delta: At which delta; None for a tenth of one divided by the site's training patients.
        secure_aggregation: Whether the server sees only the sum of several sites' updates.
        hospitals_see_updates: Whether single updates reach other hospitals.
        sealed: Whether the server relays single updates encrypted for a hospital, and can't read them.
        single_update: Whether a round's model is made of one site's update, whatever the job's `min_sites`.
    """

    epsilon: float | None = None
    delta: float | None = None
    secure_aggregation: bool = False
    hospitals_see_updates: bool = False
    sealed: bool = False
    single_update: bool = False

    @property
    def server_sees_updates(self) -> bool:
        """Whether the server reads single updates."""
        return not (self.secure_aggregation or self.sealed)

    @property
    def level(self) -> PrivacyLevel:
        """Level of the promised epsilon."""
        return PrivacyLevel.of(self.epsilon)


@dataclass(frozen=True)
class PrivacyPlan:
    """Mechanisms of a job at a site whose patients are counted.

    Attributes:
        each_round: All that one round releases; that of the gradients first.
        delta: At which delta the job keeps its promise here.
    """

    each_round: tuple[SampledGaussian, ...]
    delta: float

    def over(self, rounds: int) -> tuple[SampledGaussian, ...]:
        """Return the mechanisms of several rounds.

        Args:
            rounds: How many; none have no mechanism.
        """
        return tuple(one.repeat(rounds) for one in self.each_round) if rounds else ()
