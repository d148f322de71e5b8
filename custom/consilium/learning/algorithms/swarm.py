"""Swarm learning at a site: updates are encrypted for the hospital whose turn it is, which combines them.

The idea of Warnat-Herresthal et al. 2021, doi 10.1038/s41586-021-03583-3: no central party sees a single
update, and a hospital that is elected for the round merges them. Here the turn goes round in the order of
names, and the server still relays all messages, calls the rounds and keeps the model. With the shares p of
the job's rule, `w <- w + sum_k p_k (w_k - w)`, as federated averaging, bit for bit up to the order of sites.

What a hospital sees: in its turns each other hospital's update by itself, as the server does in federated
averaging. A hospital takes part only if its own settings allow that (`updates_to_hospitals`), with hospitals
whose identities it pinned. The server numbers the attempts: with a hospital that colludes it can make every
turn that one's. Secure aggregation shows single updates to nobody, and has no robust rule.

A hospital with the turn decides the round's model. The server can only check its form and compare its length
with those of the others' turns, and `rollback_margin` drops it where it makes the scores worse.

Costs: an update is sent twice, by its site and to the hospital with the turn, which also sends the mean, so
with n hospitals that one receives n models and sends one more. Its memory holds about four times n updates
for a moment, the server's n. No state beside what secure aggregation remembers, and the lengths of the last
turns; 4 short questions more in a round. Excludes secure aggregation, FedNova's,
FedPID's and SCAFFOLD's use of single updates at the server, and noise that hides a hospital (`hospital_noise`
at the site), as more than the update leaves.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from pydantic import ValidationError

from consilium.aggregation.form import UpdateForm
from consilium.counts import counted
from consilium.errors import SiteRefusal
from consilium.learning.algorithms.base import AlgorithmSettings, LocalAlgorithm, LocalRound, Outgoing
from consilium.learning.algorithms.dialogue import LocalAnswer, SiteDialogue, SitePlace, UpdateOrigin
from consilium.learning.algorithms.protocol_steps import declined, guarded, open_attempt
from consilium.learning.algorithms.sealed_plan import (
    ACCEPT,
    COMBINE,
    COMBINED,
    SEALED,
    UPDATE_NAME,
    CombinationRequest,
    RoundAnnouncement,
    digest_model,
)
from consilium.learning.algorithms.secagg_plan import ADVERTISE, CONFIRM, digest_training
from consilium.learning.schedule import Schedule
from consilium.learning.weights import MODEL, WeightSets
from consilium.sealed.merging import MergedUpdates, merge_updates, pack_update
from consilium.sealed.site_session import SealedSession
from consilium.secagg.errors import UnknownParties
from consilium.secagg.messages import ConfirmationList, Roster, SurvivorList

logger = logging.getLogger(__name__)

_MOST_STEPS: Final = 1_000_000
"""That are looked at; a server may name any number of cases."""


class LocalSwarm(LocalAlgorithm):
    """Trains as federated averaging does; the dialogue encrypts what comes of it.

    Every round starts with a new optimizer: see `LocalSecAggFedAvg`.
    """

    keeps_moments = False

    def end(self, local: LocalRound) -> Outgoing:
        """Name the sets; what they hold comes when the update is encrypted, or combined."""
        return Outgoing(sets={SEALED: {}, COMBINED: {}})


class SwarmDialogue(SiteDialogue):
    """The site's side of swarm learning: one session for each attempt, whose secrets are in memory only."""

    def __init__(self, settings: AlgorithmSettings) -> None:
        super().__init__(settings)
        self._place: SitePlace | None = None
        self._session: SealedSession | None = None
        self._announced: RoundAnnouncement | None = None
        self._run: str | None = None
        self._origin: UpdateOrigin | None = None

    def enter(self, place: SitePlace) -> None:
        """Receive where the site's identity, its pins and its memory are."""
        self._place = place

    def answer(self, question: str, content: Mapping[str, Any], sets: WeightSets) -> LocalAnswer:
        """Take the next step of a round.

        Raises:
            SiteRefusal: If the site has no identity, knows a hospital by another, or rejects the message.
        """
        if question == ADVERTISE:
            return self._advertise(content)
        session, text = self._current(), content.get("message")
        if question == COMBINE:
            return self._combine(session, content, sets)
        if not isinstance(text, str):
            raise declined(f"{question} came without a message of the protocol")
        try:
            if question == ACCEPT:
                guarded(lambda: session.accept(Roster.from_json(text)))
                return LocalAnswer()
            if question == CONFIRM:
                signed = guarded(lambda: session.confirm(SurvivorList.from_json(text)))
                return LocalAnswer({"message": signed.to_json()})
        except UnknownParties as error:
            logger.warning("no part in this round: %s", error)
            return LocalAnswer({"unknown": error.sites})
        raise SiteRefusal(f"this algorithm has no question {question!r}")

    def seal(self, sets: WeightSets, content: Mapping[str, Any], origin: UpdateOrigin) -> WeightSets:
        """Encrypt an update; nothing of it leaves this function in the clear.

        Raises:
            SiteRefusal: If this site has no part in the round, or the others train by other rules.
        """
        session, announced, place = self._current(), self._announced, self._place
        assert announced is not None
        assert place is not None
        if announced.round != origin.round_index or place.run != self._run:
            raise declined("the update is of another round or training than the others' keys")
        if not 0 <= origin.round_index < origin.rounds:
            raise declined(
                f"a job of {counted(origin.rounds, 'round')} has none of number {origin.round_index}, from 0"
            )
        if announced.training != digest_training(origin.learning, self.settings, origin.rounds):
            raise declined("the others train by other settings, or for another number of rounds")
        if announced.model != digest_model(origin.received):
            raise declined("the model that came is not the one that the others have signed")
        packed = guarded(lambda: session.seal(pack_update(sets[MODEL], origin.cases)))
        self._origin = origin
        return {MODEL: {}, SEALED: {UPDATE_NAME: np.frombuffer(packed, np.uint8)}, COMBINED: {}}

    def _advertise(self, content: Mapping[str, Any]) -> LocalAnswer:
        place = self._place
        assert place is not None
        if not place.trains:
            return LocalAnswer({"message": None})
        try:
            announced = RoundAnnouncement.model_validate(dict(content))
        except ValidationError:
            raise declined("the server's announcement of a round can't be used") from None
        self._session = self._announced = self._origin = None
        session = open_attempt(
            SealedSession,
            place,
            round_number=announced.round,
            attempt=announced.attempt,
            parameters=announced.digest,
        )
        message = guarded(session.advertise).to_json()
        self._session, self._announced, self._run = session, announced, place.run
        return LocalAnswer({"message": message})

    def _combine(self, session: SealedSession, content: Mapping[str, Any], sets: WeightSets) -> LocalAnswer:
        origin, announced = self._origin, self._announced
        if origin is None or announced is None:
            raise declined("this site sealed no update in this attempt")
        try:
            request = CombinationRequest.model_validate(dict(content))
        except ValidationError:
            raise declined("the server's request to combine the updates can't be used") from None
        sealed = {site: value.tobytes() for site, value in sets.get(SEALED, {}).items()}
        opened = guarded(lambda: session.open(ConfirmationList.from_json(request.message), sealed))
        merged = guarded(lambda: _merge(opened, request.cases, origin, announced, session.threshold))
        for site, fault in merged.left_out.items():
            logger.warning("the update of %s is left out: %s", site, fault)
        return LocalAnswer({"left_out": dict(merged.left_out)}, {COMBINED: merged.mean})

    def _current(self) -> SealedSession:
        if self._session is None:
            raise declined("this site has no part in the round: it gave no keys, or was restarted")
        return self._session


def _merge(
    opened: Mapping[str, bytes | None],
    cases: Mapping[str, int],
    origin: UpdateOrigin,
    announced: RoundAnnouncement,
    fewest: int,
) -> MergedUpdates:
    def pace(norm: float, cases: int) -> float:
        schedule = Schedule(origin.round_index, origin.rounds)
        steps = min(origin.learning.steps_per_round(cases), _MOST_STEPS)
        return norm / math.sqrt(
            sum(schedule.rate(origin.learning, step, steps) ** 2 for step in range(steps))
        )

    return merge_updates(
        opened,
        cases,
        form=UpdateForm(origin.received),
        rule=announced.rule,
        max_norm_ratio=announced.max_norm_ratio,
        pace=pace,
        fewest=fewest,
    )
