"""Intake of what sites send in secure aggregation: messages of the protocol, and masked updates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from consilium.counts import counted
from consilium.errors import RefusalCode
from consilium.federation.updates.intake import Contribution
from consilium.federation.updates.rejection_history import DeclinedQuestion, RejectedUpdate
from consilium.learning.algorithms.secagg_plan import COUNTS_NAME, SUMS, ProtocolAnswer
from consilium.learning.weights import MODEL
from consilium.secagg.errors import SecAggRefusal
from consilium.secagg.messages import Advertisement, Confirmation, Reveal, ShareBundle
from consilium.secagg.server_session import ServerSession
from consilium.secagg.survivor_policy import MOST_PARTIES
from consilium.secagg.weighted_sum import MaskedSum

MessageT = TypeVar("MessageT", Advertisement, ShareBundle, Confirmation, Reveal)


class ProtocolMessages:
    """Takes the sites' messages of one step of the protocol, each from the site that it names.

    Args:
        kind: What they are.
        add: Passes one to the protocol.
        most: How many are taken; no site is at fault that comes later.

    Attributes:
        taken: How many messages the protocol took.
        evaluators: Sites that only evaluate.
        unknown: Sites that don't know others of the sum, each with these.
    """

    def __init__(
        self, kind: type[MessageT], add: Callable[[MessageT], None], most: int = MOST_PARTIES
    ) -> None:
        self._kind: type[Any] = kind
        self._most = most
        self._add: Callable[[Any], None] = add
        self.taken = 0
        self.evaluators: list[str] = []
        self.unknown: dict[str, list[str]] = {}

    def add(self, site: str, contribution: Contribution) -> None:
        """Pass a site's message to the protocol.

        Raises:
            RejectedUpdate: If the protocol rejects it, or it names another site.
            DeclinedQuestion: If the site has none, as it does not know others of the sum; or there is no
                room for it.
        """
        content = contribution.content
        assert isinstance(content, ProtocolAnswer)
        if content.unknown:
            self.unknown[site] = content.unknown
            raise DeclinedQuestion(
                f"it did not pin the identities of {', '.join(content.unknown)}, or pinned others",
                code=RefusalCode.SECURE_AGGREGATION,
            )
        if content.message is None:
            self.evaluators.append(site)
            return
        if self.taken == self._most:
            raise DeclinedQuestion(
                f"the sum has room for {counted(self._most, 'site')} (algorithm.most_sites), and as many "
                "were faster",
                code=RefusalCode.SECURE_AGGREGATION,
            )
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
