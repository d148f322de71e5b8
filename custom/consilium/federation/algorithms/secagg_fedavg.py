"""Federated averaging by secure aggregation at the server: it relays messages, and adds up masked updates.

No update is seen, stored or compared with others. The sum of a round's updates is opened when the sites have
agreed on who is in it; if that fails, the round is tried again, as one without a quorum is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from consilium.aggregation.rules import AggregationSettings
from consilium.errors import ConfigurationError, ConsiliumError
from consilium.federation.algorithms.base import AlgorithmJob, Question, RoundStart, ServerAlgorithm
from consilium.federation.algorithms.protocol_rounds import (
    PATIENCE_SECONDS,
    SILENCE_SECONDS,
    carry_out,
    name_absences,
    pause_spared,
)
from consilium.federation.message_names import TRAIN, VALIDATE
from consilium.federation.updates.attempt_pauses import AttemptPauses
from consilium.federation.updates.intake import Aggregate
from consilium.federation.updates.masked_answers import MaskedUpdates, ProtocolMessages
from consilium.federation.updates.summed_answers import SummedAnswers
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.algorithms.secagg_plan import (
    ADVERTISE,
    CONFIRM,
    LOSS,
    REVEAL,
    SCORE_PREFIX,
    SHARE,
    VALIDATION_ROUNDS,
    SecAggFedAvgSettings,
    plan_sum,
)
from consilium.learning.weights import MODEL, Weights
from consilium.records.summed_reports import SummedReports
from consilium.secagg.messages import (
    Advertisement,
    Confirmation,
    ConfirmationList,
    Reveal,
    ShareBundle,
    SumContext,
    SurvivorList,
)
from consilium.secagg.server_session import ServerSession
from consilium.secagg.weighted_sum import MaskedSum


class ServerSecAggFedAvg(ServerAlgorithm):
    """Asks for keys, shares, masked updates, confirmations and what opens their sum, in this order.

    With the cases of survivors, limited as the job says, `w <- w + sum_k c_k (w_k - w) / sum_k c_k`. An
    attempt has a number of its own in the job, and keys of its own.
    """

    settings: SecAggFedAvgSettings

    def __init__(self, settings: AlgorithmSettings, job: AlgorithmJob) -> None:
        super().__init__(settings, job)
        self._rule = AggregationSettings.parse(job.aggregation, source="the job's aggregation")
        self.aggregation = self._rule.model_dump(mode="json")
        if self._rule.rule != "mean":
            raise ConfigurationError(
                f"aggregation.rule is {self._rule.rule!r}, and secure aggregation shows the server no single "
                "update to apply it to; allowed: mean"
            )
        if job.aggregation.get("max_site_share", 1.0) < 1:
            raise ConfigurationError(
                f"aggregation.max_site_share is {self._rule.max_site_share:g}, for which the server has to "
                "know each site's training cases; allowed: 1. algorithm.full_weight_cases limits a site's "
                "weight"
            )
        if job.screening.settings.max_norm_ratio is not None:
            raise ConfigurationError(
                f"screening.max_norm_ratio is {job.screening.settings.max_norm_ratio:g}, and secure "
                "aggregation shows the server no single update to measure; allowed: null. Each site clips "
                "its own update (algorithm.max_norm), and rollback_margin drops a round that makes the "
                "model worse"
            )
        self._attempts = 0
        self._faults: dict[str, str] = {}
        self._pauses = AttemptPauses()
        self._revealed: dict[int, set[tuple[str, ...]]] = {}
        self._opened_before = False
        self._attempt: tuple[ServerSession, ProtocolMessages] | None = None
        self._aggregate: Aggregate | None = None
        self._summed: SummedAnswers | None = None

    def questions(self, start: RoundStart) -> Iterator[Question]:
        """Yield the steps of the protocol, with the training among them.

        Raises:
            RejectedUpdate: If too few sites take a step, or the sum can't be opened.
        """
        yield from self._sum(start, TRAIN)

    def validation(self, start: RoundStart) -> Iterator[Question]:
        """Yield the same steps with an evaluation in place of the training: a sum of scores.

        Raises:
            RejectedUpdate: If too few sites take a step, or the sum can't be opened.
        """
        yield from self._sum(start, VALIDATE)

    @property
    def at_fault(self) -> Mapping[str, str]:
        """Sites that gave something false, by what they signed themselves."""
        return self._faults

    @property
    def opened_before(self) -> bool:
        """Whether a try of the sum that was asked for last had other sites, and these give what opens it."""
        return self._opened_before

    def _sum(self, start: RoundStart, task: str) -> Iterator[Question]:
        self.close()
        # Never restored: a site takes part in an attempt of one number once.
        self._attempts += 1
        self._opened_before = False
        shared = self.settings.shared(start.weights)
        plan = plan_sum(self.settings, self.job.learning, self.job.rounds, start.index, shared)
        number = start.index + (0 if task == TRAIN else VALIDATION_ROUNDS)
        context = SumContext(job=start.job, round=number, attempt=self._attempts, parameters=plan.digest)
        session = ServerSession(context)
        shares = ProtocolMessages(ShareBundle, session.add_shares)
        self._attempt = session, shares
        keys = ProtocolMessages(Advertisement, session.add_advertisement, most=plan.sites)
        announced = {
            "attempt": self._attempts,
            "round": number,
            "plan": plan.model_dump(mode="json"),
        }
        yield Question(
            keys,
            ADVERTISE,
            content=announced,
            without=name_absences(self._pauses.begin()),
            silence_seconds=SILENCE_SECONDS,
        )
        roster = carry_out(session.close_advertising)
        unmet = name_absences(session.blame.unmet)
        announcement = {"message": roster.to_json()}
        yield Question(
            shares,
            SHARE,
            content=announcement,
            among=roster.names,
            without=unmet,
            silence_seconds=SILENCE_SECONDS,
        )
        inboxes = {name: one.to_json() for name, one in carry_out(session.close_sharing).items()}
        vector = shared if task == TRAIN else {}
        steps = self.job.learning.local_steps if task == TRAIN else None
        updates = MaskedUpdates(MaskedSum(plan, shared, vector), session, steps)
        yield Question(
            updates, task, content={"inboxes": inboxes}, among={*inboxes, *keys.evaluators}, without=unmet
        )
        survivors = carry_out(session.close_masking)
        confirmed = ProtocolMessages(Confirmation, session.add_confirmation)
        yield _closing(CONFIRM, confirmed, survivors, survivors.survivors, session.threshold)
        signatures = carry_out(session.close_confirming)
        reveals = ProtocolMessages(Reveal, session.add_reveal)
        tries = self._revealed.setdefault(number, set())
        tries.add(tuple(survivors.survivors))
        self._opened_before = len(tries) > 1
        yield _closing(REVEAL, reveals, signatures, signatures.signatures, session.threshold)
        self._aggregate = carry_out(lambda: self._open(updates, session, vector))

    def combine(self) -> Aggregate:
        """Return the mean of the opened sum."""
        if self._aggregate is None:
            raise ConsiliumError("no sum was opened in this round")
        return self._aggregate

    @property
    def summed(self) -> SummedAnswers | None:
        """Cases, loss and scores of the sum that was opened last."""
        return self._summed

    def close(self) -> None:
        """Forget the round's sum, but not which sites the next attempts have to do without."""
        self._aggregate = self._summed = None
        if self._attempt is None:
            return
        session, shares = self._attempt
        self._attempt = None
        blame, sites = session.blame, len(session.advertised)
        blame.spare_strangers(shares.unknown, sites)
        self._faults |= blame.culprits
        pause_spared(self._pauses, blame, sites)

    def _open(self, updates: MaskedUpdates, session: ServerSession, vector: Weights) -> Aggregate:
        total, sites = updates.total, sorted(updates.sites)
        mean = total.open(session.open_sum())
        numbers = total.numbers
        loss = numbers.get(LOSS)
        self._summed = SummedAnswers(
            SummedReports(
                sites=len(sites),
                cases=total.cases,
                loss=loss.total / loss.sites if loss and loss.sites else None,
                clipped=total.clipped,
                recovered=session.recovered,
            ),
            {
                name.removeprefix(SCORE_PREFIX): one
                for name, one in numbers.items()
                if name.startswith(SCORE_PREFIX)
            },
        )
        typed = {name: _as_type(mean[name], np.asarray(value).dtype) for name, value in vector.items()}
        return Aggregate({MODEL: typed}, dict.fromkeys(sites))


def _closing(
    task: str,
    messages: ProtocolMessages,
    message: SurvivorList | ConfirmationList,
    among: Collection[str],
    threshold: int,
) -> Question:
    # Who is in the sum is decided, so the job's quorum no longer counts. A site whose process was killed or
    # paused after it sent its update is waited for only briefly: the others' shares open the sum without it.
    return Question(
        messages,
        task,
        content={"message": message.to_json()},
        among=among,
        quorum=False,
        settled=lambda: messages.taken >= threshold,
        patience_seconds=PATIENCE_SECONDS,
    )


def _as_type(value: np.ndarray[Any, Any], kind: np.dtype[Any]) -> np.ndarray[Any, Any]:
    return (np.rint(value) if kind.kind in "iu" else value).astype(kind)
