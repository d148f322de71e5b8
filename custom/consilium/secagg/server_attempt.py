"""The server's part in one attempt, whatever its protocol: sites' keys, and their signatures of a list."""

from __future__ import annotations

from collections.abc import Collection

from consilium.counts import counted
from consilium.secagg.blame import Blame
from consilium.secagg.errors import SecAggFailure, SecAggRefusal
from consilium.secagg.identity import is_signed
from consilium.secagg.messages import (
    Advertisement,
    Confirmation,
    ConfirmationList,
    ContextMessage,
    Roster,
    SumContext,
    SurvivorList,
)
from consilium.secagg.roster_check import check_newcomer
from consilium.secagg.survivor_policy import FEWEST_SURVIVORS, MOST_PARTIES, strictest_threshold


class ServerAttempt:
    """What the server collects in an attempt, and from whom.

    A protocol extends it with its own steps. Of each it adds the sites' answers as they arrive (`add_...`),
    and closes the step when all have answered or it waits no longer (`close_...`). What arrives later is
    refused. The checks here keep faulty sites from spoiling an attempt; privacy rests on the sites' checks
    only.

    Args:
        context: The attempt.

    Attributes:
        threshold: How many sites must answer each step, once the roster is known.
        blame: Sites without which the others continue.
    """

    def __init__(self, context: SumContext) -> None:
        self._context = context
        self._advertisements: dict[str, Advertisement] = {}
        self._confirmations: dict[str, Confirmation] = {}
        self._roster: Roster | None = None
        self._digest: bytes
        self.threshold = FEWEST_SURVIVORS
        self.blame = Blame()

    @property
    def context(self) -> SumContext:
        """The attempt."""
        return self._context

    @property
    def advertised(self) -> list[str]:
        """The sites that take part, by name."""
        return sorted(self._advertisements)

    @property
    def roster(self) -> Roster:
        """Who takes part; it is known once advertising is closed."""
        assert self._roster is not None
        return self._roster

    def add_advertisement(self, message: Advertisement) -> None:
        """Add a site's keys.

        Raises:
            SecAggRefusal: They are not signed, of no use, or of another attempt, or come too late or twice.
        """
        self._require_context(message)
        if self._roster is not None:
            raise SecAggRefusal(f"{message.site}: it comes too late, as the others have begun")
        if message.site in self._advertisements or len(self._advertisements) == MOST_PARTIES:
            raise SecAggRefusal(f"{message.site}: it has advertised, or {MOST_PARTIES} sites have")
        if not is_signed(message.identity, message.statement, message.signature):
            raise SecAggRefusal(f"{message.site}: its keys are not signed by the identity that it names")
        check_newcomer(message, self._advertisements.values())
        self._advertisements[message.site] = message

    def close_advertising(self) -> Roster:
        """Return the roster, for every site in it; sites whose demand can't be met are left out.

        Raises:
            SecAggFailure: Too few sites take part, or it was closed before.
        """
        if self._roster is not None:
            raise SecAggFailure("advertising is closed once, and it was")
        policies = {name: one.policy for name, one in self._advertisements.items()}
        for name in self.blame.leave_out_unmet(policies):
            del policies[name], self._advertisements[name]
        if policies:
            self.threshold = strictest_threshold(policies.values(), len(policies))
        self._require_enough(self._advertisements, "took part")
        ordered = [self._advertisements[name] for name in sorted(self._advertisements)]
        roster = Roster(context=self._context, advertisements=ordered)
        self._roster, self._digest = roster, roster.digest
        return roster

    def _require_signed(self, message: Confirmation, survivors: SurvivorList) -> None:
        """Refuse a confirmation that its site did not sign; the site is one of the attempt."""
        statement = survivors.statement(self._digest, message.site)
        if not is_signed(self._advertisements[message.site].identity, statement, message.signature):
            raise SecAggRefusal(f"{message.site}: it did not sign the list of survivors")

    def _list_confirmations(self) -> ConfirmationList:
        """Return the signatures, if enough sites signed.

        Raises:
            SecAggFailure: They are too few.
        """
        self._require_enough(self._confirmations, "confirmed the list of survivors")
        signatures = {name: self._confirmations[name].signature for name in sorted(self._confirmations)}
        return ConfirmationList(context=self._context, signatures=signatures)

    def _require_context(self, message: ContextMessage) -> None:
        if message.context != self._context:
            raise SecAggRefusal("the message is of another job, round, attempt or parameters")

    def _require_enough(self, answered: Collection[str], what: str) -> None:
        """Fail if fewer sites answered than are demanded, and spare those who alone demand more."""
        if len(answered) >= self.threshold:
            return
        policies = {name: one.policy for name, one in self._advertisements.items()}
        self.blame.spare_unmet(policies, len(answered))
        raise SecAggFailure(
            f"{counted(len(answered), 'site')} {what}, and at least {self.threshold} must, as the sites "
            "demand; what they sent stays hidden: begin another attempt"
        )
