"""Settings of swarm learning, and the rules of a round that all hospitals agree on."""

from __future__ import annotations

import hashlib
from typing import Annotated, ClassVar, Final, Literal

import numpy as np
from pydantic import Field, StringConstraints

from consilium.aggregation.rules import AggregationSettings
from consilium.learning.algorithms.base import AlgorithmSettings, Declaration
from consilium.learning.algorithms.secagg_plan import ADVERTISE, CONFIRM, ConfirmationAnswer, KeysAnswer
from consilium.learning.weights import Weights
from consilium.privacy.promise import PrivacyPromise
from consilium.sealed.merging import MOST_COUNT, UpdateFault
from consilium.secagg.messages import LONGEST_MESSAGE, PartyName, digest_parameters
from consilium.secagg.statements import encode_statement
from consilium.secagg.survivor_policy import MOST_PARTIES
from consilium.settings import Settings

ACCEPT: Final = "accept_hospitals"
COMBINE: Final = "combine_updates"

SEALED: Final = "sealed"
"""Weight set with a site's encrypted update, under `UPDATE_NAME`.

The hospital with the turn receives those of all, each under its site's name."""

UPDATE_NAME: Final = "update"

COMBINED: Final = "combined"
"""Weight set with what the hospital with the turn makes of the updates."""


class AcceptanceAnswer(Settings):
    """Whether this hospital takes part with the hospitals of one try of a round.

    Attributes:
        unknown: Sites that it has not pinned, or pinned with other identities.
    """

    unknown: Annotated[list[PartyName], Field(default_factory=list, max_length=MOST_PARTIES)]


class CombinedAnswer(Settings):
    """At the hospital whose turn it is: whose updates can't be used, beside the combination of the others.

    Attributes:
        left_out: Sites, each with the kind of reason.
    """

    left_out: Annotated[dict[PartyName, UpdateFault], Field(default_factory=dict, max_length=MOST_PARTIES)]


class CombinationRequest(Settings):
    """What the server says to the hospital whose turn it is.

    Attributes:
        message: The signatures of the list, as JSON.
        cases: Training cases that each site of it reports.
    """

    message: Annotated[str, StringConstraints(strict=True, max_length=LONGEST_MESSAGE)]
    cases: Annotated[
        dict[PartyName, Annotated[int, Field(strict=True, ge=1, le=MOST_COUNT)]],
        Field(max_length=MOST_PARTIES),
    ]


class RoundAnnouncement(Settings):
    """What the server's first question says of an attempt at a round.

    Attributes:
        attempt: Number of the attempt in this job.
        round: The round, from 0.
        training: Digest of what sites train by, `digest_training`.
        model: Digest of the model that they all receive, `digest_model`.
        rule: How updates combine.
        max_norm_ratio: Times the others' norm that an update's norm may always be; None: no limit.
    """

    attempt: Annotated[int, Field(strict=True, ge=1, le=1_000_000_000)]
    round: Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
    training: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    model: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    rule: AggregationSettings
    max_norm_ratio: Annotated[float, Field(ge=2, le=1e6)] | None = None

    @property
    def digest(self) -> bytes:
        """SHA-256 of what the sites of a round must agree on; the same in each attempt."""
        return digest_parameters({"sealed": self.model_dump(mode="json", exclude={"attempt"})})


def digest_model(received: Weights) -> str:
    """Return the digest of a model, in hexadecimal.

    A server that sent one site the model, and the others such that they can't learn, would have that one's
    update in the mean (Pasquini et al. 2022, doi 10.1145/3548606.3560557).

    Args:
        received: The shared weights.
    """
    digest = hashlib.sha256()
    for name in sorted(received):
        value = np.asarray(received[name])
        digest.update(encode_statement("weight", name, value.dtype.str, str(value.shape), value.tobytes()))
    return digest.hexdigest()


class SwarmAlgorithmSettings(AlgorithmSettings):
    """Settings of swarm learning; the job's `aggregation` and `screening` are used by the hospitals."""

    declaration: ClassVar[Declaration] = Declaration(
        received=(SEALED,),
        sent=(SEALED, COMBINED),
        questions={
            ADVERTISE: KeysAnswer,
            ACCEPT: AcceptanceAnswer,
            CONFIRM: ConfirmationAnswer,
            COMBINE: CombinedAnswer,
        },
    )

    caution: ClassVar[str] = (
        "In each round one of the hospitals combined the updates and saw each of the others'; the model is "
        "what it made of them."
    )

    name: Literal["swarm"] = "swarm"

    def promise(self) -> PrivacyPromise:
        """Return that a hospital sees the others' updates, and the server none."""
        return PrivacyPromise(hospitals_see_updates=True, sealed=True)
