"""Swarm learning at the server: it relays encrypted updates to the hospital whose turn it is.

The server asks for keys, has the hospitals accept each other, collects updates that it can't read, has the
list of them confirmed, and gives them to the hospital whose turn it is, which returns their mean. It keeps
the model, scores, selection and report as in any other job. What it costs and excludes, and what the hospital
with the turn sees, is said in `consilium.learning.algorithms.swarm`.

A hospital with the turn that sends a false mean decides the model of that round. The mean's form is checked,
its length is compared with that of the last turns (`screening.max_norm_ratio`, see `TurnPaces`), and a model
that makes the scores worse is dropped (`rollback_margin`).
"""

from __future__ import annotations

from collections.abc import Iterator

from consilium.aggregation.rules import AggregationSettings
from consilium.aggregation.turns import TurnPaces
from consilium.errors import ConsiliumError, RefusalCode
from consilium.federation.algorithms.base import AlgorithmJob, Question, RoundStart, ServerAlgorithm
from consilium.federation.algorithms.protocol_rounds import (
    PATIENCE_SECONDS,
    SILENCE_SECONDS,
    carry_out,
    name_absences,
    pause_spared,
)
from consilium.federation.component_state import DurableState
from consilium.federation.message_names import TRAIN
from consilium.federation.updates.attempt_pauses import AttemptPauses
from consilium.federation.updates.intake import Aggregate
from consilium.federation.updates.masked_answers import ProtocolMessages
from consilium.federation.updates.rejection_history import RejectedUpdate
from consilium.federation.updates.sealed_updates import Acceptances, CombinedUpdate, SealedUpdates
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.algorithms.sealed_plan import ACCEPT, COMBINE, SEALED, RoundAnnouncement, digest_model
from consilium.learning.algorithms.secagg_plan import ADVERTISE, CONFIRM, digest_training
from consilium.learning.weights import Weights
from consilium.sealed.server_session import SealedServer
from consilium.secagg.messages import Advertisement, Confirmation, SumContext


class ServerSwarm(ServerAlgorithm):
    """Asks for keys, acceptances, encrypted updates and confirmations, and has a hospital combine them."""

    def __init__(self, settings: AlgorithmSettings, job: AlgorithmJob) -> None:
        super().__init__(settings, job)
        self._rule = AggregationSettings.parse(job.aggregation, source="the job's aggregation")
        self.aggregation = self._rule.model_dump(mode="json")
        self._attempts = 0
        self._pauses = AttemptPauses()
        self._session: SealedServer | None = None
        self._acceptances: Acceptances | None = None
        self._updates: SealedUpdates | None = None
        self._aggregate: Aggregate | None = None
        self._paces = TurnPaces(job.screening.settings.max_norm_ratio)
        self._pace: tuple[str, float] | None = None
        self._confirmed: set[int] = set()
        self._opened_before = False

    @property
    def opened_before(self) -> bool:
        """Whether sites confirmed a list of the round that was asked for last in an earlier try of it."""
        return self._opened_before

    def questions(self, start: RoundStart) -> Iterator[Question]:
        """Yield the steps of an attempt, with the training among them.

        Raises:
            RejectedUpdate: If too few sites take a step, or the updates were not combined.
        """
        self.close()
        # Never restored: a site takes part in an attempt of one number once.
        self._attempts += 1
        self._opened_before = start.index in self._confirmed
        shared = self.settings.shared(start.weights)
        announced = RoundAnnouncement(
            attempt=self._attempts,
            round=start.index,
            training=digest_training(self.job.learning, self.settings, self.job.rounds),
            model=digest_model(shared),
            rule=self._rule,
            max_norm_ratio=self.job.screening.settings.max_norm_ratio,
        )
        context = SumContext(
            job=start.job, round=start.index, attempt=self._attempts, parameters=announced.digest
        )
        session = self._session = SealedServer(context)
        keys = ProtocolMessages(Advertisement, session.add_advertisement)
        yield Question(
            keys,
            ADVERTISE,
            content=announced.model_dump(mode="json"),
            without=name_absences(self._pauses.begin()),
            silence_seconds=SILENCE_SECONDS,
        )
        roster = carry_out(session.close_advertising)
        unmet = name_absences(session.blame.unmet)
        accepted = self._acceptances = Acceptances(session)
        yield Question(
            accepted,
            ACCEPT,
            content={"message": roster.to_json()},
            among=roster.names,
            without=unmet,
            silence_seconds=SILENCE_SECONDS,
        )
        trained = {*carry_out(session.close_accepting), *keys.evaluators}
        updates = self._updates = SealedUpdates(session, shared, self.job.screening, start.folder)
        yield Question(updates, TRAIN, among=trained, without=unmet)
        listed = carry_out(session.close_sealing)
        confirmed = ProtocolMessages(Confirmation, session.add_confirmation)
        yield Question(
            confirmed,
            CONFIRM,
            content={"message": listed.to_json()},
            among=listed.survivors,
            quorum=False,
            settled=lambda: confirmed.taken >= session.threshold,
            patience_seconds=PATIENCE_SECONDS,
        )
        if confirmed.taken:
            self._confirmed.add(start.index)
        signatures = carry_out(session.close_confirming)
        cases = {site: updates.cases[site] for site in listed.survivors}
        combined = CombinedUpdate(session.turn, cases, session.threshold, shared, self._rule)
        yield Question(
            combined,
            COMBINE,
            sets={SEALED: updates.read(listed.survivors)},
            content={"message": signatures.to_json(), "cases": cases},
            among=[session.turn],
            quorum=False,
        )
        # The sites have confirmed, and will confirm no other list of this round.
        if combined.aggregate is None:
            raise RejectedUpdate(
                f"{session.turn}, whose turn it was, did not combine the updates",
                code=RefusalCode.ROUND_OPENED,
            )
        self._compare(session.turn, combined.norm, start.index)
        self._aggregate = combined.aggregate

    def combine(self) -> Aggregate:
        """Return the mean that the hospital with the turn made."""
        if self._aggregate is None:
            raise ConsiliumError("no updates were combined in this round")
        return self._aggregate

    def close(self) -> None:
        """Forget the attempt, but not which sites the next ones have to do without."""
        self._aggregate = self._pace = None
        if self._updates is not None:
            self._updates.close()
        session, accepted = self._session, self._acceptances
        self._session = self._acceptances = self._updates = None
        if session is None:
            return
        sites = len(session.advertised)
        if accepted is not None:
            session.blame.spare_strangers(accepted.unknown, sites)
        pause_spared(self._pauses, session.blame, sites)

    def step(self, weights: Weights, aggregate: Aggregate) -> Weights:
        """Return the weights with the combined update, and remember how long that is."""
        if self._pace is not None:
            self._paces.keep(*self._pace)
        return super().step(weights, aggregate)

    def state(self) -> DurableState:
        """Return how long the combined updates of each hospital's last turn were."""
        return DurableState({"paces": self._paces.values})

    def restore(self, state: DurableState) -> None:
        """Continue from a `state`."""
        self._paces.restore(state.values["paces"])

    def _compare(self, turn: str, norm: float, index: int) -> None:
        """Compare a combined update's length with those of the hospitals' last turns.

        Raises:
            RejectedUpdate: If it is far longer.
        """
        screening = self.job.screening
        steps = self.job.learning.steps_per_round(max(screening.prepared.values(), default=1))
        pace = screening.pace(norm, steps, index)
        fault = self._paces.fault(turn, pace)
        if fault is not None:
            raise RejectedUpdate(
                f"the combined update of {turn} is rejected: {fault}", code=RefusalCode.ROUND_OPENED
            )
        self._pace = turn, pace
