"""The server's part in one attempt to sum the sites' vectors: it relays, and recovers what opens the sum."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from consilium.counts import counted
from consilium.secagg.attempt_keys import derive_pair_seed, derive_self_seed
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
from consilium.secagg.secret_recovery import recover_mask_key, recover_self_secret
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
    refused answer changes nothing. The checks here keep faulty sites from spoiling a sum; privacy rests on
    the sites' checks only.

    Args:
        context: The sum.

    Attributes:
        threshold: How many sites must answer in each step, once the roster is known.
    """

    def __init__(self, context: SumContext) -> None:
        self._context = context
        self._step = ServerStep.ADVERTISEMENTS
        self._advertisements: dict[str, Advertisement] = {}
        self._bundles: dict[str, ShareBundle] = {}
        self._masked: set[str] = set()
        self._confirmations: dict[str, bytes] = {}
        self._reveals: dict[str, Reveal] = {}
        self._roster: Roster
        self._digest: bytes
        self._survivors: SurvivorList
        self.threshold = FEWEST_SURVIVORS

    @property
    def step(self) -> ServerStep:
        """What is collected at present."""
        return self._step

    @property
    def awaited(self) -> list[str]:
        """Names of the sites that have not answered in this step; none while the sites advertise."""
        if self._step is ServerStep.ADVERTISEMENTS:
            return []
        answered: list[set[str]] = [
            {*one}
            for one in (
                self._advertisements, self._bundles, self._masked, self._confirmations, self._reveals
            )
        ]  # fmt: skip
        return sorted(answered[self._step - 1] - answered[self._step])

    def add_advertisement(self, message: Advertisement) -> None:
        """Add a site's keys.

        Raises:
            SecAggRefusal: They are not signed, or of another sum, or come too late or twice.
        """
        self._require(ServerStep.ADVERTISEMENTS, message)
        if message.site in self._advertisements or len(self._advertisements) == MOST_PARTIES:
            raise SecAggRefusal(f"{message.site}: it has advertised, or {MOST_PARTIES} sites have")
        if not is_signed(message.identity, message.statement, message.signature):
            raise SecAggRefusal(f"{message.site}: its keys are not signed by the identity that it names")
        self._advertisements[message.site] = message

    def close_advertising(self) -> Roster:
        """Return the roster, for every site in it.

        Raises:
            SecAggFailure: Too few sites take part.
        """
        policies = [one.policy for one in self._advertisements.values()]
        if policies:
            self.threshold = strictest_threshold(policies, len(policies))
        self._close(ServerStep.ADVERTISEMENTS, self._advertisements, "took part")
        ordered = [self._advertisements[name] for name in sorted(self._advertisements)]
        self._roster = Roster(context=self._context, advertisements=ordered)
        self._digest = self._roster.digest
        return self._roster

    def add_shares(self, message: ShareBundle) -> None:
        """Add a site's encrypted shares.

        Raises:
            SecAggRefusal: They are not for all others, or of another sum, or come too late or twice.
        """
        self._require(ServerStep.SHARES, message)
        self._require_awaited(message.site)
        if message.sealed.keys() != self._advertisements.keys() - {message.site}:
            raise SecAggRefusal(f"{message.site}: its shares are not one for each other site")
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
        self._confirmations[message.site] = message.signature

    def close_confirming(self) -> ConfirmationList:
        """Return the signatures, for each site that signed.

        Raises:
            SecAggFailure: Too few sites signed.
        """
        self._close(ServerStep.CONFIRMATIONS, self._confirmations, "confirmed the list of survivors")
        return ConfirmationList(context=self._context, signatures=dict(sorted(self._confirmations.items())))

    def add_reveal(self, message: Reveal) -> None:
        """Add a site's shares of what opens the sum.

        Raises:
            SecAggRefusal: They are not the shares that were asked for, or of another sum, or come too late or
                twice.
        """
        self._require(ServerStep.REVEALS, message)
        self._require_awaited(message.site)
        if message.self_shares.keys() != self._masked or message.key_shares.keys() != self._dropped:
            raise SecAggRefusal(f"{message.site}: its shares are not those of this list of survivors")
        self._reveals[message.site] = message

    @property
    def can_open(self) -> bool:
        """Whether enough shares have arrived to open the sum; more of them can correct a false one."""
        return self._step is ServerStep.REVEALS and len(self._reveals) >= self.threshold

    def open_sum(self) -> list[MaskSeed]:
        """Return the seeds of the masks to add to the sum of the survivors' vectors, with their signs.

        With them all masks are gone and the sum is left.

        Raises:
            SecAggFailure: Too few sites gave shares, or a secret can't be recovered from them.
        """
        if not self.can_open:
            raise SecAggFailure(self._too_few(self._reveals, "gave their shares"))
        places = {name: place for place, name in enumerate(self._roster.names, start=1)}
        shares = {places[name]: reveal for name, reveal in self._reveals.items()}
        seeds = []
        for name in sorted(self._masked):
            own = {place: one.self_shares[name] for place, one in shares.items()}
            secret = recover_self_secret(self._advertisements[name], own, self.threshold)
            seeds.append(MaskSeed(derive_self_seed(self._context, name, secret), -1))
        for name in sorted(self._dropped):
            keys = {place: one.key_shares[name] for place, one in shares.items()}
            private_key = recover_mask_key(self._advertisements[name], keys, self.threshold)
            for survivor in sorted(self._masked):
                peer_key = self._advertisements[survivor].mask_key
                pair = (name, survivor)
                seed = derive_pair_seed(self._context, self._digest, private_key, peer_key, pair)
                seeds.append(MaskSeed(seed, -1 if survivor < name else 1))
        return seeds

    @property
    def _dropped(self) -> set[str]:
        """Sites whose masks are in the survivors' vectors, and who sent no vector."""
        return self._bundles.keys() - self._masked

    def _require(self, step: ServerStep, message: ContextMessage | None = None) -> None:
        if message is not None and message.context != self._context:
            raise SecAggRefusal("the message is of another job, round, attempt or parameters")
        if self._step is not step:
            raise SecAggRefusal(f"{step.name.lower()} are not collected now: {self._step.name.lower()} are")

    def _require_awaited(self, site: str) -> None:
        if site not in self.awaited:
            raise SecAggRefusal(f"{site}: it is not in this sum, dropped out, or has answered")

    def _close(self, step: ServerStep, answered: Iterable[str], what: str) -> None:
        if self._step is not step:
            raise SecAggFailure(f"{step.name.lower()} are not collected now: {self._step.name.lower()} are")
        if len({*answered}) < self.threshold:
            raise SecAggFailure(self._too_few(answered, what))
        self._step = ServerStep(step + 1)

    def _too_few(self, answered: Iterable[str], what: str) -> str:
        return (
            f"{counted(len({*answered}), 'site')} {what}, and at least {self.threshold} must, as the sites "
            "demand; the sum stays hidden: begin another attempt"
        )
