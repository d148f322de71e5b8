"""Federated averaging by secure aggregation at the server: it relays messages, and adds up masked updates.

No update is seen, stored or compared with others. The sum of a round's updates is opened when the sites have
agreed on who is in it; if that fails, the round is tried again, as one without a quorum is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, Final, TypeVar

import numpy as np

from consilium.counts import counted
from consilium.errors import ConfigurationError, ConsiliumError
from consilium.federation.algorithms.base import AlgorithmJob, Question, RoundStart, ServerAlgorithm
from consilium.federation.message_names import TRAIN, VALIDATE
from consilium.federation.updates.aggregation_rules import AggregationSettings
from consilium.federation.updates.intake import Aggregate, Contribution
from consilium.federation.updates.rejection_history import RejectedUpdate
from consilium.federation.updates.summed_answers import SummedAnswers
from consilium.learning.algorithms.base import AlgorithmSettings
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
    ProtocolAnswer,
    SecAggFedAvgSettings,
    plan_sum,
)
from consilium.learning.weights import MODEL, Weights
from consilium.records.summed_reports import SummedReports
from consilium.secagg.errors import SecAggFailure, SecAggRefusal
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

MessageT = TypeVar("MessageT", Advertisement, ShareBundle, Confirmation, Reveal)
ResultT = TypeVar("ResultT")

_PATIENCE_SECONDS: Final = 15.0
"""For the last of the sites, once enough have answered; a site that works asks for tasks more often."""


class ProtocolMessages:
    """Takes the sites' messages of one step of the protocol, each from the site that it names.

    Args:
        kind: What they are.
        add: Passes one to the protocol.

    Attributes:
        taken: How many messages the protocol took.
        evaluators: Sites that only evaluate.
    """

    def __init__(self, kind: type[MessageT], add: Callable[[MessageT], None]) -> None:
        self._kind: type[Any] = kind
        self._add: Callable[[Any], None] = add
        self.taken = 0
        self.evaluators: list[str] = []

    def add(self, site: str, contribution: Contribution) -> None:
        """Pass a site's message to the protocol.

        Raises:
            RejectedUpdate: If the protocol rejects it, or it names another site.
        """
        content = contribution.content
        assert isinstance(content, ProtocolAnswer)
        if content.message is None:
            self.evaluators.append(site)
            return
        try:
            message = self._kind.from_json(content.message)
            if message.site != site:
                raise RejectedUpdate("its message of the protocol names another site")
            self._add(message)
            self.taken += 1
        except SecAggRefusal as error:
            raise RejectedUpdate(f"its message of the protocol: {error}") from None

    def screen(self) -> dict[str, str]:
        """Reject no site: what is wrong was rejected on arrival."""
        return {}


class MaskedUpdates:
    """Adds up masked updates as they arrive, and stores none.

    Args:
        total: Their sum.
        session: The protocol, which notes whose update is in the sum.
        steps: That each site takes; None where they depend on its cases, or nothing is trained.
    """

    def __init__(self, total: MaskedSum, session: ServerSession, steps: int | None) -> None:
        self.total = total
        self._session = session
        self._steps = steps
        self.sites: set[str] = set()

    def add(self, site: str, contribution: Contribution) -> None:
        """Add one site's masked update.

        Raises:
            RejectedUpdate: If it has another form, or comes from a site that is not in the sum.
        """
        report = contribution.report
        if report is None:
            raise RejectedUpdate("it has no report")
        if report.role != "trains":
            raise RejectedUpdate("it comes from a site that only evaluates")
        if self._steps is not None and report.steps != self._steps:
            raise RejectedUpdate(
                f"it reports {counted(report.steps, 'step')} of training, and the job asks for {self._steps}"
            )
        sums = contribution.sets.get(SUMS, {})
        if site not in self._session.awaited or site in self.sites:
            raise RejectedUpdate("it is not awaited: the site is not in the sum, or sent one before")
        if sums.keys() != {COUNTS_NAME}:
            raise RejectedUpdate("it has other sums than the masked counts")
        try:
            self.total.add(contribution.sets.get(MODEL, {}), sums[COUNTS_NAME])
            self._session.add_masked(site)
        except SecAggRefusal as error:
            raise RejectedUpdate(str(error)) from None
        self.sites.add(site)

    def screen(self) -> dict[str, str]:
        """Reject no site: single updates can't be seen."""
        return {}


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

    def _sum(self, start: RoundStart, task: str) -> Iterator[Question]:
        self.close()
        # Never restored: a site takes part in an attempt of one number once.
        self._attempts += 1
        shared = self.settings.shared(start.weights)
        plan = plan_sum(self.settings, self.job.learning, self.job.rounds, start.index, shared)
        number = start.index + (0 if task == TRAIN else VALIDATION_ROUNDS)
        session = ServerSession(
            SumContext(job=start.job, round=number, attempt=self._attempts, parameters=plan.digest)
        )
        keys = ProtocolMessages(Advertisement, session.add_advertisement)
        announced = {
            "attempt": self._attempts,
            "round": number,
            "plan": plan.model_dump(mode="json"),
        }
        yield Question(keys, ADVERTISE, content=announced)
        roster = _carry_out(session.close_advertising)
        shares = ProtocolMessages(ShareBundle, session.add_shares)
        yield Question(shares, SHARE, content={"message": roster.to_json()}, among=roster.names)
        inboxes = {name: one.to_json() for name, one in _carry_out(session.close_sharing).items()}
        vector = shared if task == TRAIN else {}
        steps = self.job.learning.local_steps if task == TRAIN else None
        updates = MaskedUpdates(MaskedSum(plan, shared, vector), session, steps)
        yield Question(updates, task, content={"inboxes": inboxes}, among={*inboxes, *keys.evaluators})
        survivors = _carry_out(session.close_masking)
        confirmed = ProtocolMessages(Confirmation, session.add_confirmation)
        yield _closing(CONFIRM, confirmed, survivors, survivors.survivors, session.threshold)
        signatures = _carry_out(session.close_confirming)
        reveals = ProtocolMessages(Reveal, session.add_reveal)
        yield _closing(REVEAL, reveals, signatures, signatures.signatures, session.threshold)
        self._aggregate = _carry_out(lambda: self._open(updates, session, vector))

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
        """Forget the round's sum."""
        self._aggregate = self._summed = None

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
        patience_seconds=_PATIENCE_SECONDS,
    )


def _carry_out(step: Callable[[], ResultT]) -> ResultT:
    try:
        return step()
    except SecAggFailure as error:
        raise RejectedUpdate(str(error)) from error


def _as_type(value: np.ndarray[Any, Any], kind: np.dtype[Any]) -> np.ndarray[Any, Any]:
    return (np.rint(value) if kind.kind in "iu" else value).astype(kind)
