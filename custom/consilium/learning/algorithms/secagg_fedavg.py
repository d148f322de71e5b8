"""Federated averaging by secure aggregation at a site: the server learns the mean, and no single update.

Training is that of federated averaging. What leaves is masked by the protocol of `consilium.secagg`, whose
messages are the algorithm's questions: a site advertises keys, shares its secrets with the others, sends its
masked update, confirms who is in the sum, and gives the shares that open it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, TypeVar

import numpy as np
from pydantic import Field, StringConstraints, ValidationError

from consilium.errors import ConfigurationError, DataError, RefusalCode, SiteRefusal
from consilium.learning.algorithms.base import (
    AlgorithmSettings,
    Declaration,
    LocalAlgorithm,
    LocalRound,
    Outgoing,
)
from consilium.learning.algorithms.dialogue import LocalAnswer, SiteDialogue, SitePlace, UpdateOrigin
from consilium.learning.weights import MODEL, Weights, WeightSets
from consilium.privacy.promise import PrivacyPromise
from consilium.secagg.errors import SecAggRefusal
from consilium.secagg.feedback import ErrorFeedback
from consilium.secagg.identity import IDENTITY_FILE, SiteIdentity
from consilium.secagg.memory import MEMORY_FILE, SecAggMemory
from consilium.secagg.messages import (
    LONGEST_MESSAGE,
    ConfirmationList,
    Roster,
    ShareInbox,
    SumContext,
    SurvivorList,
    digest_parameters,
)
from consilium.secagg.peers import PEERS_FILE, PinnedPeers
from consilium.secagg.site_session import SiteSession
from consilium.secagg.statements import digest_statement
from consilium.secagg.survivor_policy import MOST_PARTIES
from consilium.secagg.weighted_sum import COUNTS, SumPlan, mask_vector
from consilium.settings import Settings

if TYPE_CHECKING:
    from consilium.tasks.learning_settings import LearningSettings

ADVERTISE: Final = "advertise_keys"
SHARE: Final = "distribute_shares"
CONFIRM: Final = "confirm_survivors"
REVEAL: Final = "reveal_shares"

SUMS: Final = "sums"
"""Weight set with the masked counts, under `COUNTS_NAME`."""

COUNTS_NAME: Final = "counts"

ResultT = TypeVar("ResultT")


class ProtocolAnswer(Settings):
    """Answer of a site to a step of the protocol.

    Attributes:
        message: The protocol's message as JSON; None from a site that only evaluates.
    """

    message: Annotated[str, StringConstraints(strict=True, max_length=LONGEST_MESSAGE)] | None = None


class SumAnnouncement(Settings):
    """What the server's first question says of a sum.

    Attributes:
        attempt: Number of the attempt in this job.
        round: The round, from 0.
        plan: The rules of the sum.
    """

    attempt: Annotated[int, Field(strict=True, ge=1, le=1_000_000_000)]
    round: Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
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
            ADVERTISE: ProtocolAnswer,
            SHARE: ProtocolAnswer,
            CONFIRM: ProtocolAnswer,
            REVEAL: ProtocolAnswer,
        },
    )

    name: Literal["secagg_fedavg"] = "secagg_fedavg"
    ring_bits: Literal[16, 32] = Field(
        default=32,
        description="Bits a value: 32 as in the clear, or 16, with 10-bit stochastic rounding whose errors a "
        "site adds to its next update.",
    )
    most_sites: int = Field(
        default=MOST_PARTIES, ge=3, le=MOST_PARTIES, description="Most sites that the ring has room for."
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

    def promise(self) -> PrivacyPromise:
        """Return that the server sees sums only; without noise, no epsilon."""
        return PrivacyPromise(secure_aggregation=True)

    @property
    def largest_change(self) -> float:
        """Largest change of a weight, in sums of learning rates."""
        return self.bound_ratio or (16.0 if self.ring_bits == 32 else 1.0)


def digest_training(learning: LearningSettings, algorithm: SecAggFedAvgSettings, rounds: int) -> str:
    """Return the digest of all that sites train by, in hexadecimal.

    A server that had one site learn at its rate and the others at a rate of nothing would see the update of
    that one in the sum. So sites add up updates only if they train alike.
    """
    parts = {"learning": learning.model_dump(mode="json"), "algorithm": algorithm.model_dump(mode="json")}
    return digest_parameters({**parts, "rounds": rounds}).hex()


class LocalSecAggFedAvg(LocalAlgorithm):
    """Trains as federated averaging does; the dialogue masks what comes of it."""

    def end(self, local: LocalRound) -> Outgoing:
        """Make room for the masked counts beside the difference."""
        return Outgoing(sets={SUMS: {COUNTS_NAME: np.zeros(COUNTS, np.uint32)}})


class SecAggDialogue(SiteDialogue):
    """The site's side of the protocol: one session for each attempt, whose secrets are in memory only."""

    settings: SecAggFedAvgSettings

    def __init__(self, settings: AlgorithmSettings) -> None:
        super().__init__(settings)
        self._place: SitePlace | None = None
        self._session: SiteSession | None = None
        self._announced: SumAnnouncement | None = None
        self._feedback = ErrorFeedback()

    def enter(self, place: SitePlace) -> None:
        """Receive where the site's identity, its pins and its memory are."""
        self._place = place

    def answer(self, question: str, content: Mapping[str, Any], sets: WeightSets) -> LocalAnswer:
        """Take the next step of the protocol.

        Raises:
            SiteRefusal: If the site has no identity, knows a hospital by another, or rejects the message.
        """
        if question == ADVERTISE:
            return self._advertise(content)
        session, text = self._current(), content.get("message")
        if not isinstance(text, str):
            raise _declined(f"{question} came without a message of the protocol")
        steps: Mapping[str, Callable[[], str]] = {
            SHARE: lambda: session.share(Roster.from_json(text)).to_json(),
            CONFIRM: lambda: session.confirm(SurvivorList.from_json(text)).to_json(),
            REVEAL: lambda: session.reveal(ConfirmationList.from_json(text)).to_json(),
        }
        if question not in steps:
            raise SiteRefusal(f"this algorithm has no question {question!r}")
        return LocalAnswer({"message": _guarded(steps[question])})

    def seal(self, sets: WeightSets, content: Mapping[str, Any], origin: UpdateOrigin) -> WeightSets:
        """Mask an update; what is left of it in the clear does not leave this function.

        Raises:
            SiteRefusal: If this site has no part in the sum, or the server's message is rejected.
        """
        session, announced, place = self._current(), self._announced, self._place
        assert announced is not None
        assert place is not None
        if announced.round != origin.round_index:
            raise _declined("the update is of another round than the sum")
        if announced.plan.training != digest_training(origin.learning, self.settings, origin.rounds):
            raise _declined("the others train by other settings, or for another number of rounds")
        inboxes = content.get("inboxes")
        text = inboxes.get(place.site) if isinstance(inboxes, Mapping) else None
        if not isinstance(text, str):
            raise _declined("this site has no part in the sum: the others' shares did not come")
        seeds = _guarded(lambda: session.mask_seeds(ShareInbox.from_json(text)))
        masked = mask_vector(
            sets[MODEL],
            cases=origin.cases,
            received=origin.received,
            plan=announced.plan,
            seeds=seeds,
            round_index=origin.round_index,
            feedback=self._feedback if announced.plan.bits == 16 else None,
        )
        sums: Weights = {COUNTS_NAME: masked.counts}
        return {MODEL: masked.tensors, SUMS: sums}

    def _advertise(self, content: Mapping[str, Any]) -> LocalAnswer:
        place = self._place
        assert place is not None
        if not place.trains:
            return LocalAnswer({"message": None})
        announced = self._read_announcement(content)
        self._session, self._announced = None, None
        try:
            identity = SiteIdentity.read(place.local / IDENTITY_FILE)
            pinned = PinnedPeers.read(place.local / PEERS_FILE)
        except ConfigurationError as error:
            raise _declined(
                "this site has no identity for secure aggregation, or its list of the other hospitals' "
                "identities can't be read",
                str(error),
            ) from None
        context = _guarded(
            lambda: SumContext.model_validate(
                {
                    "job": place.job,
                    "round": announced.round,
                    "attempt": announced.attempt,
                    "parameters": announced.plan.digest,
                }
            )
        )
        session = SiteSession(
            context=context,
            site=place.site,
            identity=identity,
            peers=pinned.fingerprints,
            policy=pinned.policy,
            memory=SecAggMemory(place.state / MEMORY_FILE),
            # Of a round that is trained again after a resumption, no other sum is opened.
            subject=digest_statement("subject", place.run, announced.round),
        )
        message = _guarded(session.advertise).to_json()
        self._session, self._announced = session, announced
        return LocalAnswer({"message": message})

    def _read_announcement(self, content: Mapping[str, Any]) -> SumAnnouncement:
        try:
            announced = SumAnnouncement.model_validate(dict(content))
            announced.plan.code  # noqa: B018 - it checks itself
        except (ValidationError, ConfigurationError):
            raise _declined("the server's announcement of a sum can't be used") from None
        if announced.plan.bits != self.settings.ring_bits or announced.plan.sites != self.settings.most_sites:
            raise _declined("the server announced another ring than the job's")
        return announced

    def _current(self) -> SiteSession:
        if self._session is None:
            raise _declined("this site has no part in the sum: it did not advertise keys, or was restarted")
        return self._session


def _guarded(step: Callable[[], ResultT]) -> ResultT:
    """Carry out a step of the protocol; what it rejects declines the task.

    Raises:
        SiteRefusal: If it is rejected. The protocol's reasons hold names of sites and counts only.
    """
    try:
        return step()
    except SecAggRefusal as error:
        raise _declined(str(error)) from None
    except ValidationError:
        raise _declined("the job's id or a number is not one that the protocol knows") from None
    except DataError as error:
        raise _declined("its memory of secure aggregation can't be used", str(error)) from None


def _declined(reason: str, *details: str) -> SiteRefusal:
    return SiteRefusal(reason, code=RefusalCode.SECURE_AGGREGATION, details=details)
