"""The server's part in one attempt to sum the sites' vectors: it relays, and recovers what opens the sum."""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum

from consilium.counts import counted
from consilium.secagg.blame import Blame
from consilium.secagg.errors import SecAggFailure, SecAggRefusal
from consilium.secagg.identity import is_signed
from consilium.secagg.mask_seed import MaskSeed
from consilium.secagg.messages import (
    Advertisement,
    Confirmation,
    ConfirmationList,
    ContextMessage,
    Reveal,
    Roster,
    ShareBundle,
    ShareInbox,
    SumContext,
    SurvivorList,
)
from consilium.secagg.roster_check import check_newcomer
from consilium.secagg.signed_shares import are_signed
from consilium.secagg.sum_opening import SumOpening
from consilium.secagg.survivor_policy import FEWEST_SURVIVORS, MOST_PARTIES, strictest_threshold


class ServerStep(IntEnum):
    """What the server collects."""

    ADVERTISEMENTS = 0
    SHARES = 1
    VECTORS = 2
    CONFIRMATIONS = 3
    REVEALS = 4


class ServerSession:
    """The state of the server: what it collects, and from whom it still has to.

    Of each step it adds the sites' answers as they arrive (`add_...`), and closes the step when all have
    answered or it waits no longer (`close_...`). What arrives later is refused: its sender has dropped out. A
    refused answer changes nothing but `blame`. The checks here keep faulty sites from spoiling a sum;
    privacy rests on the sites' checks only.

    Args:
        context: The sum.

    Attributes:
        threshold: How many sites must answer in each step, once the roster is known.
        blame: Sites without which the others continue.
    """

    def __init__(self, context: SumContext) -> None:
        self._context = context
        self._step = ServerStep.ADVERTISEMENTS
        self._advertisements: dict[str, Advertisement] = {}
        self._bundles: dict[str, ShareBundle] = {}
        self._masked: set[str] = set()
        self._confirmations: dict[str, Confirmation] = {}
        self._roster: Roster
        self._digest: bytes
        self._survivors: SurvivorList
        self._opening: SumOpening
        self.threshold = FEWEST_SURVIVORS
        self.blame = Blame()

    @property
    def context(self) -> SumContext:
        """The sum."""
        return self._context

    @property
    def advertised(self) -> list[str]:
        """The sites that take part, by name."""
        return sorted(self._advertisements)

    @property
    def step(self) -> ServerStep:
        """What is collected at present."""
        return self._step

    @property
    def awaited(self) -> list[str]:
        """Names of the sites that have not answered in this step; none while the sites advertise."""
        if self._step is ServerStep.ADVERTISEMENTS:
            return []
        reveals = self._opening.reveals if self._step is ServerStep.REVEALS else {}
        answered: list[set[str]] = [
            {*one}
            for one in (self._advertisements, self._bundles, self._masked, self._confirmations, reveals)
        ]
        return sorted(answered[self._step - 1] - answered[self._step])

    def add_advertisement(self, message: Advertisement) -> None:
        """Add a site's keys.

        Raises:
            SecAggRefusal: They are not signed, of no use, or of another sum, or come too late or twice.
        """
        self._require(ServerStep.ADVERTISEMENTS, message)
        if message.site in self._advertisements or len(self._advertisements) == MOST_PARTIES:
            raise SecAggRefusal(f"{message.site}: it has advertised, or {MOST_PARTIES} sites have")
        if not is_signed(message.identity, message.statement, message.signature):
            raise SecAggRefusal(f"{message.site}: its keys are not signed by the identity that it names")
        check_newcomer(message, self._advertisements.values())
        self._advertisements[message.site] = message

    def close_advertising(self) -> Roster:
        """Return the roster, for every site in it; sites whose demand can't be met are left out.

        Raises:
            SecAggFailure: Too few sites take part.
        """
        policies = {name: one.policy for name, one in self._advertisements.items()}
        for name in self.blame.leave_out_unmet(policies):
            del policies[name], self._advertisements[name]
        if policies:
            self.threshold = strictest_threshold(policies.values(), len(policies))
        self._close(ServerStep.ADVERTISEMENTS, self._advertisements, "took part")
        ordered = [self._advertisements[name] for name in sorted(self._advertisements)]
        self._roster = Roster(context=self._context, advertisements=ordered)
        self._digest = self._roster.digest
        return self._roster

    def add_shares(self, message: ShareBundle) -> None:
        """Add a site's encrypted shares.

        Raises:
            SecAggRefusal: They are not signed, not for all others, or of another sum, or come too late or
                twice.
        """
        self._require(ServerStep.SHARES, message)
        self._require_awaited(message.site)
        if message.sealed.keys() != self._advertisements.keys() - {message.site}:
            raise SecAggRefusal(f"{message.site}: its shares are not one for each other site")
        sender = self._advertisements[message.site]
        for receiver, sealed in message.sealed.items():
            if not are_signed(self._digest, sender, receiver, sealed):
                raise SecAggRefusal(f"{message.site}: its shares for {receiver} are not signed by it")
        self._bundles[message.site] = message

    def close_sharing(self) -> dict[str, ShareInbox]:
        """Return for each site that shared its secrets what the others have for it.

        Raises:
            SecAggFailure: Too few sites shared their secrets.
        """
        self._close(ServerStep.SHARES, self._bundles, "shared their secrets")
        return {
            name: ShareInbox(
                context=self._context,
                sealed={one.site: one.sealed[name] for one in self._bundles.values() if one.site != name},
            )
            for name in sorted(self._bundles)
        }

    def add_masked(self, site: str) -> None:
        """Note that the whole masked vector of a site arrived and is in the sum.

        Raises:
            SecAggRefusal: It comes too late or twice, or the site is not in this sum.
        """
        self._require(ServerStep.VECTORS)
        self._require_awaited(site)
        self._masked.add(site)

    def close_masking(self) -> SurvivorList:
        """Return the list of survivors, for each of them.

        Raises:
            SecAggFailure: Too few vectors arrived.
        """
        self._close(ServerStep.VECTORS, self._masked, "sent their vectors")
        self._survivors = SurvivorList(
            context=self._context, sharers=sorted(self._bundles), survivors=sorted(self._masked)
        )
        return self._survivors

    def add_confirmation(self, message: Confirmation) -> None:
        """Add a site's signature of the list.

        Raises:
            SecAggRefusal: It is false, or of another sum, or comes too late or twice.
        """
        self._require(ServerStep.CONFIRMATIONS, message)
        self._require_awaited(message.site)
        statement = self._survivors.statement(self._digest, message.site)
        if not is_signed(self._advertisements[message.site].identity, statement, message.signature):
            raise SecAggRefusal(f"{message.site}: it did not sign the list of survivors")
        if not {*message.lacking} <= self._bundles.keys() - {message.site}:
            raise SecAggRefusal(f"{message.site}: it lacks shares of sites that sent it none")
        self._confirmations[message.site] = message

    def close_confirming(self) -> ConfirmationList:
        """Return the signatures, for each site that signed.

        Raises:
            SecAggFailure: Too few sites signed, or so many lack the shares of a site that dropped out that
                the sum could not be opened. No site has given anything of it yet, so another attempt may
                have other survivors.
        """
        confirmed = self._confirmations
        self._require_enough(confirmed, "confirmed the list of survivors")
        self._require_shares_of_the_lost()
        self._opening = SumOpening(
            self._roster, self._bundles, self._survivors, confirmed, self.threshold, self.blame
        )
        self._close(ServerStep.CONFIRMATIONS, confirmed, "confirmed the list of survivors")
        signatures = {name: confirmed[name].signature for name in sorted(confirmed)}
        return ConfirmationList(context=self._context, signatures=signatures)

    def add_reveal(self, message: Reveal) -> None:
        """Add what a site gives to open the sum.

        Raises:
            SecAggRefusal: It is not what was asked for, is false, or is of another sum, or comes too late or
                twice.
        """
        self._require(ServerStep.REVEALS, message)
        self._require_awaited(message.site)
        self._opening.add(message)

    @property
    def can_open(self) -> bool:
        """Whether enough shares have arrived to open the sum; more of them can correct a false one."""
        return self._step is ServerStep.REVEALS and len(self._opening.reveals) >= self.threshold

    @property
    def recovered(self) -> int:
        """How many sites dropped out after they had sent their shares, so that the others give these."""
        return len(self._bundles) - len(self._opening.reveals)

    def open_sum(self) -> list[MaskSeed]:
        """Return the seeds of the masks to add to the sum of the survivors' vectors, with their signs.

        With them all masks are gone and the sum is left.

        Raises:
            SecAggFailure: Too few sites gave shares, or a secret can't be recovered from them.
        """
        if self._step is not ServerStep.REVEALS:
            raise SecAggFailure(f"the sum can't be opened now: {self._step.name.lower()} are collected")
        self._require_enough(self._opening.reveals, "gave their shares")
        return self._opening.seeds()

    def _require_shares_of_the_lost(self) -> None:
        """Fail while no site has given anything of the sum yet, if that could not open it."""
        lost = []
        for owner in sorted(self._bundles.keys() - self._confirmations.keys()):
            holders = sum(owner not in one.lacking for one in self._confirmations.values())
            if holders < self.threshold:
                self.blame.spare_lost(owner, holders=holders, threshold=self.threshold)
                lost.append(owner)
        if lost:
            raise SecAggFailure(
                f"secrets of {', '.join(lost)} can't be recovered from the shares that the others have, so "
                "the sum stays hidden: begin another attempt"
            )

    def _require(self, step: ServerStep, message: ContextMessage | None = None) -> None:
        if message is not None and message.context != self._context:
            raise SecAggRefusal("the message is of another job, round, attempt or parameters")
        if self._step is not step:
            raise SecAggRefusal(f"{step.name.lower()} are not collected now: {self._step.name.lower()} are")

    def _require_awaited(self, site: str) -> None:
        if site not in self.awaited:
            raise SecAggRefusal(f"{site}: it is not in this sum, dropped out, or has answered")

    def _close(self, step: ServerStep, answered: Collection[str], what: str) -> None:
        if self._step is not step:
            raise SecAggFailure(f"{step.name.lower()} are not collected now: {self._step.name.lower()} are")
        self._require_enough(answered, what)
        self._step = ServerStep(step + 1)

    def _require_enough(self, answered: Collection[str], what: str) -> None:
        if len(answered) >= self.threshold:
            return
        self.blame.spare_unmet(
            {name: one.policy for name, one in self._advertisements.items()}, len(answered)
        )
        raise SecAggFailure(
            f"{counted(len(answered), 'site')} {what}, and at least {self.threshold} must, as the sites "
            "demand; the sum stays hidden: begin another attempt"
        )
