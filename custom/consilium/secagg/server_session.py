"""The server's part in one attempt to sum the sites' vectors: it relays, and recovers what opens the sum."""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum

from consilium.secagg.errors import SecAggFailure, SecAggRefusal
from consilium.secagg.mask_seed import MaskSeed
from consilium.secagg.messages import (
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
from consilium.secagg.server_attempt import ServerAttempt
from consilium.secagg.signed_shares import are_signed
from consilium.secagg.sum_opening import SumOpening


class ServerStep(IntEnum):
    """What the server collects."""

    ADVERTISEMENTS = 0
    SHARES = 1
    VECTORS = 2
    CONFIRMATIONS = 3
    REVEALS = 4


class ServerSession(ServerAttempt):
    """The state of the server: what it collects, and from whom it still has to.

    A refused answer changes nothing but `blame`.

    Args:
        context: The sum.
    """

    def __init__(self, context: SumContext) -> None:
        super().__init__(context)
        self._step = ServerStep.ADVERTISEMENTS
        self._bundles: dict[str, ShareBundle] = {}
        self._masked: set[str] = set()
        self._survivors: SurvivorList
        self._opening: SumOpening

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

    def close_advertising(self) -> Roster:
        """Return the roster, for every site in it; sites whose demand can't be met are left out.

        Raises:
            SecAggFailure: Too few sites take part, or it was closed before.
        """
        roster = super().close_advertising()
        self._step = ServerStep.SHARES
        return roster

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
        self._require_signed(message, self._survivors)
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
        signatures, confirmed = self._list_confirmations(), self._confirmations
        self._require_shares_of_the_lost()
        self._opening = SumOpening(
            self.roster, self._bundles, self._survivors, confirmed, self.threshold, self.blame
        )
        self._close(ServerStep.CONFIRMATIONS, confirmed, "confirmed the list of survivors")
        return signatures

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
        if message is not None:
            self._require_context(message)
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
