"""Settings of federated averaging by secure aggregation, and the rules of a sum that follow from them.

Server and sites compute the rules by the same function. A server that could choose them would learn single
updates: two sums of the same updates under two limits of the cases that count differ by those of the sites
above the lower one.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

import numpy as np
from pydantic import Field, StringConstraints, model_validator
from typing_extensions import Self

from consilium.errors import ConfigurationError
from consilium.learning.algorithms.base import AlgorithmSettings, Declaration
from consilium.learning.algorithms.pinned_hospitals import read_pinned
from consilium.learning.schedule import Schedule
from consilium.learning.weights import Weights
from consilium.privacy.hospital_noise import LEAST_HOSPITAL_NOISE, MOST_HOSPITAL_NOISE
from consilium.privacy.promise import PrivacyPromise
from consilium.secagg.messages import LONGEST_MESSAGE, PartyName, digest_parameters
from consilium.secagg.noisy_vector import noise_levels, noise_of_sites
from consilium.secagg.sum_plan import SumPlan
from consilium.secagg.survivor_policy import FEWEST_HONEST, FEWEST_SURVIVORS, MOST_PARTIES
from consilium.settings import Settings
from consilium.tasks.registry import get_task

if TYPE_CHECKING:
    from consilium.tasks.learning_settings import LearningSettings

ADVERTISE: Final = "advertise_keys"
SHARE: Final = "distribute_shares"
CONFIRM: Final = "confirm_survivors"
REVEAL: Final = "reveal_shares"

SUMS: Final = "sums"
"""Weight set with the masked counts and numbers, under `COUNTS_NAME`."""

COUNTS_NAME: Final = "counts"

LOSS: Final = "loss"
"""Number of a sum: the mean loss of a site's steps."""

SCORE_PREFIX: Final = "score_"
"""Begins the numbers of a sum that are scores of the received model on a site's validation patients."""

_LARGEST_LOSS: Final = 100.0
"""In a sum; a larger mean loss of a round is of a model that learns nothing."""


VALIDATION_ROUNDS: Final = 1_000_000
"""Added to the round of a sum without an update: what a site opened of it is no sum of a round's updates."""


class ProtocolAnswer(Settings):
    """Answer of a site to a step of the protocol.

    Attributes:
        message: The protocol's message as JSON; None from a site that only evaluates, or has none to give.
        unknown: Sites of the sum that it has not pinned, or pinned with other identities.
    """

    message: Annotated[str, StringConstraints(strict=True, max_length=LONGEST_MESSAGE)] | None = None
    unknown: Annotated[list[PartyName], Field(default_factory=list, max_length=MOST_PARTIES)]


class KeysAnswer(ProtocolAnswer):
    """Public keys of this hospital, made for one try of a round, and the fewest hospitals that it accepts."""


class SharesAnswer(ProtocolAnswer):
    """Parts of the keys of one try of a round, each encrypted for a hospital: the server can't read them."""


class ConfirmationAnswer(ProtocolAnswer):
    """This hospital's signature of the list of the hospitals whose updates are in the sum."""


class RevealAnswer(ProtocolAnswer):
    """Keys of one try of a round that remove the masks from the sum, and from no single update."""


class SumAnnouncement(Settings):
    """What the server's first question says of a sum.

    Attributes:
        attempt: Number of the attempt in this job.
        round: The round, from 0; see `VALIDATION_ROUNDS`.
        plan: The rules of the sum.
    """

    attempt: Annotated[int, Field(strict=True, ge=1, le=1_000_000_000)]
    round: Annotated[int, Field(strict=True, ge=0, le=2 * VALIDATION_ROUNDS)]
    plan: SumPlan


class SecAggFedAvgSettings(AlgorithmSettings):
    """Federated averaging by secure aggregation: size of the ring, and limits of an update.

    An update is limited in terms of the learning rates of its steps: a coordinate to `bound_ratio` times
    their sum, which a step of AdamW hardly exceeds, and the norm to as much in every coordinate, or to
    `max_norm`.
    """

    declaration: ClassVar[Declaration] = Declaration(
        sent=(SUMS,),
        questions={
            ADVERTISE: KeysAnswer,
            SHARE: SharesAnswer,
            CONFIRM: ConfirmationAnswer,
            REVEAL: RevealAnswer,
        },
    )

    name: Literal["secagg_fedavg"] = "secagg_fedavg"
    ring_bits: Literal[16, 32] = Field(
        default=32,
        description="Bits a value: 32 as in the clear, or 16, with 10-bit stochastic rounding whose errors a "
        "site adds to its next update.",
    )
    most_sites: int = Field(
        default=64, ge=3, le=MOST_PARTIES, description="Most sites that the ring has room for."
    )
    full_weight_cases: int = Field(
        default=100,
        ge=1,
        le=1_000_000,
        description="Training cases of a site with full weight; more count as so many, so that no site is "
        "most of a sum. In place of `aggregation.max_site_share`, for which the server had to know each "
        "site's number.",
    )
    bound_ratio: float | None = Field(
        default=None,
        gt=0,
        le=1e4,
        description="Largest change of a weight in a round, in sums of the learning rates of its steps; "
        "default: 16 with 32 bits, 1 with 16.",
    )
    max_norm: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="Norm to which each site scales its own update down; default: that of a change of every "
        "weight by the sum of the learning rates.",
    )

    hospital_noise: float | None = Field(
        default=None,
        ge=LEAST_HOSPITAL_NOISE,
        le=MOST_HOSPITAL_NOISE,
        description="Noise that hides each hospital as a whole in the sum: its standard deviation in every "
        "weight, in norms of `max_norm`, which has to be given. No protection by patient. Default: none.",
    )
    hospital_noise_sites: int = Field(
        default=FEWEST_SURVIVORS,
        ge=1,
        le=MOST_PARTIES,
        description="Of how many sites' parts that noise is: each adds as much as if no more were left, so "
        "that more sites have more noise. Fewer than can be in a sum: some may collude, and so add none.",
    )

    @model_validator(mode="after")
    def _check_noise(self) -> Self:
        if self.hospital_noise is None:
            return self
        if self.max_norm is None or self.bound_ratio is not None or self.ring_bits != 32:
            raise ValueError(
                "hospital_noise is in norms of max_norm, so give max_norm, no bound_ratio, and ring_bits 32"
            )
        least = self.hospital_noise * math.sqrt(FEWEST_HONEST / self.hospital_noise_sites)
        if least < LEAST_HOSPITAL_NOISE:
            raise ValueError(
                f"hospital_noise leaves {least:g} norms in a sum with {FEWEST_HONEST} honest sites; allowed: "
                f"{LEAST_HOSPITAL_NOISE:g} or more, by more noise or fewer hospital_noise_sites"
            )
        try:
            self.noise_levels  # noqa: B018 - it checks itself
        except ConfigurationError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def noise_levels(self) -> int:
        """Steps of `max_norm` where each site adds its part of the noise; 0 without noise."""
        if self.hospital_noise is None:
            return 0
        return noise_levels(self.hospital_noise, self.hospital_noise_sites)

    @property
    def noise_of_one_site(self) -> float | None:
        """The noise that each site adds as its part of the sum's, in norms of `max_norm`."""
        return noise_of_sites(self.noise_levels, 1) if self.noise_levels else None

    @property
    def withholds_losses(self) -> bool:
        """Whether no training loss leaves a site: with noise, which covers the update only."""
        return self.hospital_noise is not None

    @property
    def withholds_scores(self) -> bool:
        """Whether no score of validation patients leaves a site: with noise, which covers the update only."""
        return self.hospital_noise is not None

    def sum_noise(self, local: Path) -> float | None:
        """Return the noise of the smallest sum that the hospital takes part in, less that of colluding sites.

        Both numbers are the hospital's own, in its list of the other hospitals. It can't know who adds noise;
        those that it takes for honest run this code, with the same settings of the job.

        Args:
            local: Folder of the hospital's own files.

        Raises:
            SiteRefusal: If the list can't be read.
        """
        if self.hospital_noise is None:
            return None
        return noise_of_sites(self.noise_levels, read_pinned(local).policy.fewest_honest)

    def promise(self) -> PrivacyPromise:
        """Return that the server sees sums only; without noise, no epsilon."""
        return PrivacyPromise(secure_aggregation=True)

    @property
    def sums_reports(self) -> bool:
        """Whether cases, losses and scores leave a site in sums only: as its update does."""
        return True

    @property
    def largest_change(self) -> float:
        """Largest change of a weight, in sums of learning rates."""
        return self.bound_ratio or (16.0 if self.ring_bits == 32 else 1.0)


def digest_training(learning: LearningSettings, algorithm: AlgorithmSettings, rounds: int) -> str:
    """Return the digest of all that sites train by, in hexadecimal.

    A server that had one site learn at its rate and the others at a rate of nothing would see the update of
    that one in the sum. So sites add up updates only if they train alike.
    """
    parts = {"learning": learning.model_dump(mode="json"), "algorithm": algorithm.model_dump(mode="json")}
    return digest_parameters({**parts, "rounds": rounds}).hex()


def plan_sum(
    settings: SecAggFedAvgSettings, learning: LearningSettings, rounds: int, round_index: int, shared: Weights
) -> SumPlan:
    """Return the rules of a round's sum.

    The limits of an update are those of a site with `full_weight_cases`, where its steps depend on its cases.

    Args:
        settings: What the job decides about the algorithm.
        learning: What it decides about training.
        rounds: Rounds of training.
        round_index: The round, from 0.
        shared: The weights that are averaged.
    """
    steps = learning.steps_per_round(settings.full_weight_cases)
    schedule = Schedule(round_index, rounds)
    rates = sum(schedule.rate(learning, step, steps) for step in range(steps))
    values = sum(np.size(value) for value in shared.values())
    norm = settings.max_norm or rates * float(np.sqrt(values))
    return SumPlan(
        bits=settings.ring_bits,
        sites=settings.most_sites,
        bound=norm if settings.noise_levels else settings.largest_change * rates,
        norm=norm,
        noise_levels=settings.noise_levels,
        full_weight_cases=settings.full_weight_cases,
        training=digest_training(learning, settings, rounds),
        # Noise covers the update only, so nothing else is summed with it.
        numbers={} if settings.noise_levels else _summed_numbers(learning),
    )


def _summed_numbers(learning: LearningSettings) -> dict[str, float]:
    metrics = get_task(learning.task).evaluation.metrics.in_round(final=False)
    scores = {
        f"{SCORE_PREFIX}{one.name}": max(abs(one.low), abs(one.high)) for one in metrics if one.is_measured
    }
    return {LOSS: _LARGEST_LOSS, **scores}
