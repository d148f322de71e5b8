"""The server's part in one attempt at a round of sealed updates: it relays what it can't read."""

from __future__ import annotations

from collections.abc import Collection

from consilium.counts import counted
from consilium.sealed.site_session import whose_turn
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


class SealedServer:
    """What the server collects in an attempt, and from whom.

    The checks here keep faulty sites from spoiling a round; what hides updates are the sites' checks.

    Args:
        context: The attempt.

    Attributes:
        threshold: How many sites must answer each step, once the roster is known.
        blame: Sites without which the others continue.
    """

    def __init__(self, context: SumContext) -> None:
        self._context = context
        self._advertisements: dict[str, Advertisement] = {}
        self._roster: Roster | None = None
        self._accepted: set[str] = set()
        self._sealed: set[str] = set()
        self._survivors: SurvivorList | None = None
        self._confirmed: dict[str, bytes] = {}
        self.threshold = FEWEST_SURVIVORS
        self.blame = Blame()

    @property
    def advertised(self) -> list[str]:
        """The sites that take part, by name."""
        return sorted(self._advertisements)

    @property
    def turn(self) -> str:
        """The hospital that combines the updates, once the roster is known."""
        assert self._roster is not None
        return whose_turn(self._roster)

    def add_advertisement(self, message: Advertisement) -> None:
        """Add a site's keys.

        Raises:
            SecAggRefusal: They are not signed, of no use, or of another attempt, or come too late or twice.
        """
        self._require_context(message)
        if self._roster is not None or message.site in self._advertisements:
            raise SecAggRefusal(f"{message.site}: it has advertised, or comes too late")
        if len(self._advertisements) == MOST_PARTIES:
            raise SecAggRefusal(f"{message.site}: {MOST_PARTIES} sites have advertised")
        if not is_signed(message.identity, message.statement, message.signature):
            raise SecAggRefusal(f"{message.site}: its keys are not signed by the identity that it names")
        check_newcomer(message, self._advertisements.values())
        self._advertisements[message.site] = message

    def close_advertising(self) -> Roster:
        """Return the roster; sites whose demand can't be met are left out.

        Raises:
            SecAggFailure: Too few sites take part.
        """
        policies = {name: one.policy for name, one in self._advertisements.items()}
        for name in self.blame.leave_out_unmet(policies):
            del policies[name], self._advertisements[name]
        if policies:
            self.threshold = strictest_threshold(policies.values(), len(policies))
        self._require_enough(self._advertisements, "took part")
        ordered = [self._advertisements[name] for name in sorted(self._advertisements)]
        self._roster = Roster(context=self._context, advertisements=ordered)
        return self._roster

    def add_acceptance(self, site: str) -> None:
        """Note that a site accepted the roster.

        Raises:
            SecAggRefusal: The site is not in it, or is too late.
        """
        if self._roster is None or self._survivors is not None or site not in self._roster.names:
            raise SecAggRefusal("it is not awaited: the site is not in this attempt, or is too late")
        self._accepted.add(site)

    def close_accepting(self) -> list[str]:
        """Return the sites that accepted the roster, by name.

        Raises:
            SecAggFailure: They are too few, or the hospital with the turn is not among them.
        """
        self._require_enough(self._accepted, "accepted the others")
        self._require_turn(self._accepted, "did not accept the others")
        return sorted(self._accepted)

    def add_sealed(self, site: str) -> None:
        """Note that a site's encrypted update arrived.

        Raises:
            SecAggRefusal: The site is not in the roster, sent one before, or is too late.
        """
        if self._survivors is not None or site not in self._accepted:
            raise SecAggRefusal("it is not awaited: the site is not in this attempt, or is too late")
        if site in self._sealed:
            raise SecAggRefusal("it is a second one in the same round")
        self._sealed.add(site)

    def close_sealing(self) -> SurvivorList:
        """Return the list of the sites whose updates arrived.

        Raises:
            SecAggFailure: They are too few, or the hospital with the turn is not among them.
        """
        assert self._roster is not None
        self._require_enough(self._sealed, "sent their updates")
        self._require_turn(self._sealed, "sent no update")
        self._survivors = SurvivorList(
            context=self._context, sharers=self._roster.names, survivors=sorted(self._sealed)
        )
        return self._survivors

    def add_confirmation(self, message: Confirmation) -> None:
        """Add a site's signature of the list.

        Raises:
            SecAggRefusal: It is false or of another attempt, or the site is not on the list.
        """
        self._require_context(message)
        survivors, roster = self._survivors, self._roster
        if survivors is None or roster is None or message.site not in survivors.survivors:
            raise SecAggRefusal(f"{message.site}: it is not among those whose updates count")
        statement = survivors.statement(roster.digest, message.site)
        if not is_signed(self._advertisements[message.site].identity, statement, message.signature):
            raise SecAggRefusal(f"{message.site}: it did not sign the list")
        self._confirmed[message.site] = message.signature

    def close_confirming(self) -> ConfirmationList:
        """Return the signatures, for the hospital with the turn.

        Raises:
            SecAggFailure: Too few sites signed.
        """
        self._require_enough(self._confirmed, "confirmed the list")
        signatures = {name: self._confirmed[name] for name in sorted(self._confirmed)}
        return ConfirmationList(context=self._context, signatures=signatures)

    def _require_context(self, message: ContextMessage) -> None:
        if message.context != self._context:
            raise SecAggRefusal("the message is of another job, round, attempt or parameters")

    def _require_turn(self, answered: Collection[str], what: str) -> None:
        if self.turn not in answered:
            raise SecAggFailure(
                f"{self.turn}, whose turn it was to combine the updates, {what}: begin another attempt, in "
                "which it is another hospital's"
            )

    def _require_enough(self, answered: Collection[str], what: str) -> None:
        if len(answered) >= self.threshold:
            return
        policies = {name: one.policy for name, one in self._advertisements.items()}
        self.blame.spare_unmet(policies, len(answered))
        raise SecAggFailure(
            f"{counted(len(answered), 'site')} {what}, and at least {self.threshold} must, as the sites "
            "demand: begin another attempt"
        )
