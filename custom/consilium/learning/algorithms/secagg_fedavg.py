"""Federated averaging by secure aggregation at a site: the server learns the mean, and no single update.

Training is that of federated averaging. What leaves is masked by the protocol of `consilium.secagg`, whose
messages are the algorithm's questions: a site advertises keys, shares its secrets with the others, sends its
masked update, confirms who is in the sum, and gives the shares that open it.

Bonawitz et al. 2017, doi 10.1145/3133956.3133982; what differs, and what is hidden from whom, is in
docs/secure-aggregation.md. With the masks m_kj = -m_jk of two sites and a site's own m_k, it sends
`c_k u_k + m_k + sum_j m_kj` in a ring of 2^16 or 2^32, and the sum over k is that of `c_k u_k` once the m_k
are known.

Costs 4 or 2 bytes a parameter, as in the clear or half, and 701 + 425 n bytes of messages among n sites; a
site's seconds grow with n, as it draws a mask for each other one (`consilium jobs export` states them).
State: attempts and openings in one small file. Excludes what looks at single updates: robust rules, outliers,
FedNova, FedPID, and at the server each site's cases, loss and scores.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from pydantic import ValidationError

from consilium.counts import counted
from consilium.errors import SiteRefusal
from consilium.learning.algorithms.base import AlgorithmSettings, LocalAlgorithm, LocalRound, Outgoing
from consilium.learning.algorithms.dialogue import LocalAnswer, SiteDialogue, SitePlace, UpdateOrigin
from consilium.learning.algorithms.pinned_hospitals import read_pinned
from consilium.learning.algorithms.protocol_steps import declined, guarded, open_attempt
from consilium.learning.algorithms.secagg_plan import (
    ADVERTISE,
    CONFIRM,
    COUNTS_NAME,
    LOSS,
    REVEAL,
    SCORE_PREFIX,
    SHARE,
    SUMS,
    VALIDATION_ROUNDS,
    SecAggFedAvgSettings,
    SumAnnouncement,
    plan_sum,
)
from consilium.learning.weights import MODEL, WeightSets
from consilium.secagg.errors import UnknownParties
from consilium.secagg.feedback import ErrorFeedback
from consilium.secagg.messages import ConfirmationList, Roster, ShareInbox, SurvivorList
from consilium.secagg.site_session import SiteSession
from consilium.secagg.survivor_policy import SurvivorPolicy
from consilium.secagg.weighted_sum import mask_vector

logger = logging.getLogger(__name__)


class LocalSecAggFedAvg(LocalAlgorithm):
    """Trains as federated averaging does; the dialogue masks what comes of it.

    Every round starts with a new optimizer. Moments of a round that a server never opens would shrink later
    steps: it could have all sites but one train on a model with large gradients, and then see that one's
    update in a sum.
    """

    keeps_moments = False

    def end(self, local: LocalRound) -> Outgoing:
        """Name the set of masked counts beside the difference; they come when all is masked."""
        return Outgoing(sets={SUMS: {}})


class SecAggDialogue(SiteDialogue):
    """The site's side of the protocol: one session for each attempt, whose secrets are in memory only."""

    settings: SecAggFedAvgSettings

    def __init__(self, settings: AlgorithmSettings) -> None:
        super().__init__(settings)
        self._place: SitePlace | None = None
        self._session: SiteSession | None = None
        self._announced: SumAnnouncement | None = None
        self._run: str | None = None
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
            raise declined(f"{question} came without a message of the protocol")
        steps: Mapping[str, Callable[[], str]] = {
            SHARE: lambda: session.share(Roster.from_json(text)).to_json(),
            CONFIRM: lambda: session.confirm(SurvivorList.from_json(text)).to_json(),
            REVEAL: lambda: session.reveal(ConfirmationList.from_json(text)).to_json(),
        }
        if question not in steps:
            raise SiteRefusal(f"this algorithm has no question {question!r}")
        try:
            return LocalAnswer({"message": guarded(steps[question])})
        except UnknownParties as error:
            logger.warning("no part in this sum: %s", error)
            return LocalAnswer({"message": None, "unknown": error.sites})

    def seal(self, sets: WeightSets, content: Mapping[str, Any], origin: UpdateOrigin) -> WeightSets:
        """Mask an update; what is left of it in the clear does not leave this function.

        Raises:
            SiteRefusal: If this site has no part in the sum, or the server's message is rejected.
        """
        session, announced, place = self._current(), self._announced, self._place
        assert announced is not None
        assert place is not None
        if announced.round != origin.round_index + (0 if MODEL in sets else VALIDATION_ROUNDS):
            raise declined("the update is of another round than the sum")
        if place.run != self._run:  # the samples are drawn by this one, and openings remembered by the other
            raise declined("the update is of another training than the sum")
        _require_round(origin, MODEL in sets)
        if announced.plan != plan_sum(
            self.settings, origin.learning, origin.rounds, origin.round_index, origin.received
        ):
            raise declined("the others train by other settings or limits, or for another number of rounds")
        self._require_noise_paid_for(session.policy, place)
        inboxes = content.get("inboxes")
        text = inboxes.get(place.site) if isinstance(inboxes, Mapping) else None
        if not isinstance(text, str):
            raise declined("this site has no part in the sum: the others' shares did not come")
        seeds = guarded(lambda: session.mask_seeds(ShareInbox.from_json(text)))
        masked = mask_vector(
            sets.get(MODEL, {}),
            cases=origin.cases,
            received=origin.received,
            plan=announced.plan,
            seeds=seeds,
            round_index=origin.round_index,
            feedback=self._feedback if announced.plan.bits == 16 and MODEL in sets else None,
            numbers=_numbers(origin, announced.plan.numbers),
        )
        sealed: WeightSets = {MODEL: masked.tensors} if MODEL in sets else {}
        return {**sealed, SUMS: {COUNTS_NAME: masked.counts}}

    def _advertise(self, content: Mapping[str, Any]) -> LocalAnswer:
        place = self._place
        assert place is not None
        if not place.trains:
            return LocalAnswer({"message": None})
        announced = self._read_announcement(content)
        self._session, self._announced = None, None
        session = open_attempt(
            SiteSession,
            place,
            round_number=announced.round,
            attempt=announced.attempt,
            parameters=announced.plan.digest,
        )
        message = guarded(session.advertise).to_json()
        self._session, self._announced, self._run = session, announced, place.run
        return LocalAnswer({"message": message})

    def _require_noise_paid_for(self, policy: SurvivorPolicy, place: SitePlace) -> None:
        """Decline if the ledger may have counted the noise of more sites than this sum is sure to be of.

        A payment goes by the pins at its time, and the sum by those at its beginning.

        Raises:
            SiteRefusal: If so.
        """
        if self.settings.hospital_noise is None:
            return
        if read_pinned(place.local).policy.fewest_honest > policy.fewest_honest:
            raise declined("its list of the other hospitals' identities changed during this sum")

    def _read_announcement(self, content: Mapping[str, Any]) -> SumAnnouncement:
        try:
            announced = SumAnnouncement.model_validate(dict(content))
        except ValidationError:
            raise declined("the server's announcement of a sum can't be used") from None
        plan, chosen = announced.plan, self.settings
        rules = (chosen.ring_bits, chosen.most_sites, chosen.full_weight_cases)
        if (plan.bits, plan.sites, plan.full_weight_cases) != rules:
            raise declined("the server announced another ring or weights than the job's")
        return announced

    def _current(self) -> SiteSession:
        if self._session is None:
            raise declined("this site has no part in the sum: it did not advertise keys, or was restarted")
        return self._session


def _require_round(origin: UpdateOrigin, updates: bool) -> None:
    """Decline a sum that the job has not: each more of one model's cases and scores would show single ones.

    The difference of two sums of them, with a site and without it, is exactly that site's.

    Raises:
        SiteRefusal: It is of updates after the last round, or without updates before its end.
    """
    if not updates and origin.round_index != origin.rounds:
        raise declined("scores are summed without updates after the last round only")
    if updates and not 0 <= origin.round_index < origin.rounds:
        raise declined(
            f"a job of {counted(origin.rounds, 'round')} has none of number {origin.round_index}, from 0"
        )


def _numbers(origin: UpdateOrigin, known: Collection[str]) -> dict[str, float]:
    """What a site adds to a sum beside its update; metrics that follow from others are left out."""
    values = {f"{SCORE_PREFIX}{name}": score for name, score in origin.scores.items()}
    if origin.loss is not None:
        values[LOSS] = origin.loss
    return {name: value for name, value in values.items() if name in known}
