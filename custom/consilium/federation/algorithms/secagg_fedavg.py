"""Federated averaging by secure aggregation at the server: it relays messages, and adds up masked updates.

No update is seen, stored or compared with others. The sum of a round's updates is opened when the sites have
agreed on who is in it; if that fails, the round is tried again, as one without a quorum is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, Final, TypeVar

import numpy as np

from consilium.errors import ConfigurationError, ConsiliumError
from consilium.federation.algorithms.base import AlgorithmJob, Question, RoundStart, ServerAlgorithm
from consilium.federation.message_names import TRAIN
from consilium.federation.updates.aggregation_rules import AggregationSettings
from consilium.federation.updates.intake import Aggregate, Contribution
from consilium.federation.updates.rejection_history import RejectedUpdate
from consilium.federation.updates.screening import Screening
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.algorithms.secagg_plan import (
    ADVERTISE,
    CONFIRM,
    COUNTS_NAME,
    REVEAL,
    SHARE,
    SUMS,
    ProtocolAnswer,
    SecAggFedAvgSettings,
    plan_sum,
)
from consilium.learning.weights import MODEL, Weights
from consilium.records.shares import weighted_shares
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
from consilium.secagg.weighted_sum import MaskedSum, SumPlan

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
        screening: Checks the counts that sites report in the clear.
    """

    def __init__(self, total: MaskedSum, session: ServerSession, screening: Screening) -> None:
        self.total = total
        self._session = session
        self._screening = screening
        self.cases: dict[str, int] = {}

    def add(self, site: str, contribution: Contribution) -> None:
        """Add one site's masked update.

        Raises:
            RejectedUpdate: If it has another form, or comes from a site that is not in the sum.
        """
        report = contribution.report
        if report is None:
            raise RejectedUpdate("it has no report")
        self._screening.check_counts(site, report)
        sums = contribution.sets.get(SUMS, {})
        if site not in self._session.awaited or site in self.cases:
            raise RejectedUpdate("it is not awaited: the site is not in the sum, or sent one before")
        if sums.keys() != {COUNTS_NAME}:
            raise RejectedUpdate("it has other sums than the masked counts")
        try:
            self.total.add(contribution.sets[MODEL], sums[COUNTS_NAME])
            self._session.add_masked(site)
        except SecAggRefusal as error:
            raise RejectedUpdate(str(error)) from None
        self.cases[site] = report.train_cases

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

    def questions(self, start: RoundStart) -> Iterator[Question]:
        """Yield the steps of the protocol, with the training among them.

        Raises:
            RejectedUpdate: If too few sites take a step, or the sum can't be opened.
        """
        self.close()
        # Never restored: a site takes part in an attempt of one number once.
        self._attempts += 1
        shared = self.settings.shared(start.weights)
        plan = plan_sum(self.settings, self.job.learning, self.job.rounds, start.index, shared)
        session = ServerSession(
            SumContext(job=start.job, round=start.index, attempt=self._attempts, parameters=plan.digest)
        )
        keys = ProtocolMessages(Advertisement, session.add_advertisement)
        announced = {
            "attempt": self._attempts,
            "round": start.index,
            "plan": plan.model_dump(mode="json"),
        }
        yield Question(keys, ADVERTISE, content=announced)
        roster = _carry_out(session.close_advertising)
        shares = ProtocolMessages(ShareBundle, session.add_shares)
        yield Question(shares, SHARE, content={"message": roster.to_json()}, among=roster.names)
        inboxes = {name: one.to_json() for name, one in _carry_out(session.close_sharing).items()}
        updates = MaskedUpdates(MaskedSum(plan, shared), session, self.job.screening)
        yield Question(updates, TRAIN, content={"inboxes": inboxes}, among={*inboxes, *keys.evaluators})
        survivors = _carry_out(session.close_masking)
        confirmed = ProtocolMessages(Confirmation, session.add_confirmation)
        yield _closing(CONFIRM, confirmed, survivors, survivors.survivors, session.threshold)
        signatures = _carry_out(session.close_confirming)
        reveals = ProtocolMessages(Reveal, session.add_reveal)
        yield _closing(REVEAL, reveals, signatures, signatures.signatures, session.threshold)
        self._aggregate = _carry_out(lambda: self._open(updates, session, plan, shared))

    def combine(self) -> Aggregate:
        """Return the mean of the opened sum."""
        if self._aggregate is None:
            raise ConsiliumError("no sum was opened in this round")
        return self._aggregate

    def close(self) -> None:
        """Forget the round's sum."""
        self._aggregate = None

    def _open(
        self, updates: MaskedUpdates, session: ServerSession, plan: SumPlan, shared: Weights
    ) -> Aggregate:
        counted = {site: plan.counted_cases(cases) for site, cases in updates.cases.items()}
        mean = updates.total.open(session.open_sum(), sum(counted.values()))
        typed = {name: _as_type(mean[name], np.asarray(value).dtype) for name, value in shared.items()}
        return Aggregate({MODEL: typed}, weighted_shares(counted))


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
