"""A site's part in one attempt, whatever its protocol: keys, who takes part, and who is left at the end."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final

from consilium.counts import counted
from consilium.secagg.advertising import sign_keys
from consilium.secagg.attempt_keys import AttemptKeys
from consilium.secagg.errors import SecAggRefusal
from consilium.secagg.identity import SiteIdentity, is_signed
from consilium.secagg.memory import SecAggMemory
from consilium.secagg.messages import (
    Advertisement,
    Confirmation,
    ConfirmationList,
    Roster,
    SumContext,
    SurvivorList,
)
from consilium.secagg.roster_check import check_roster
from consilium.secagg.session_steps import SessionSteps
from consilium.secagg.statements import digest_statement
from consilium.secagg.survivor_policy import SurvivorPolicy, strictest_threshold

ADVERTISED: Final = "advertise"
"""The first step of every protocol."""


class SiteAttempt:
    """The state of a site in one attempt, and the checks by which it need not trust the server.

    A protocol extends it with its own steps, which lead from the site's keys (`advertise`) to what it opens.
    Each step is answered once, in order: the same message again has the same answer, for answers that were
    lost; another message in its place is refused. A refusal changes nothing. The secrets are in memory only:
    a site that restarts has dropped out of the attempt.

    Args:
        context: The attempt, as this site knows it: the job that it takes part in, the round and attempt that
            the server named, and the digest of the site's own copy of the parameters.
        site: The site's name.
        identity: Its identity.
        peers: Names of the hospitals that it takes part with, and the fingerprints of their identities.
        policy: How many survivors it demands.
        memory: Its durable memory.
        subject: Digest of what its vector or update is made from, beside the job and the round, which always
            count. It holds a resumed job with another id to what was opened before.
        random: Source of random bytes; another one is for tests only.

    Attributes:
        policy: How many survivors it demands.
    """

    once: ClassVar[Mapping[str, str]] = {}
    """Steps of the protocol that are not even answered again for the same message, each with the reason."""

    def __init__(
        self,
        *,
        context: SumContext,
        site: str,
        identity: SiteIdentity,
        peers: Mapping[str, bytes],
        policy: SurvivorPolicy,
        memory: SecAggMemory,
        subject: bytes,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._context = context
        self._site = site
        self._identity = identity
        self._fingerprints = {**peers, site: identity.fingerprint}
        self.policy = policy
        self._memory = memory
        self._subjects = [
            digest_statement("subject", context.job, context.round),
            digest_statement("further subject", subject),
        ]
        self._random = random
        self._steps = SessionSteps(context, self.once)
        self._keys: AttemptKeys
        self._roster: Roster
        self._digest: bytes
        self._threshold: int
        self._survivors: SurvivorList

    def advertise(self) -> Advertisement:
        """Draw the keys of this attempt and record that it has begun.

        Raises:
            SecAggRefusal: The site took part in this or a later attempt of the job.
            DataError: Its memory can't be used.
        """
        return self._steps.answer(ADVERTISED, None, None, self._advertise)

    def _advertise(self) -> Advertisement:
        self._memory.begin_attempt(self._context.job, self._context.attempt)
        self._keys = AttemptKeys(self._random)
        return sign_keys(self._context, self._site, self._identity, self._keys, self.policy)

    def _check_roster(self, roster: Roster) -> int:
        """Check who takes part, and return how many must be left at the end.

        Raises:
            UnknownParties: Sites are not pinned, or their identities are others.
            SecAggRefusal: A signature is false, this site is missing or has other keys, two sites have one
                key, or fewer take part than one of them demands.
        """
        check_roster(roster, self._fingerprints, own=self._steps.given(ADVERTISED))
        count = len(roster.names)
        threshold = strictest_threshold((one.policy for one in roster.advertisements), count)
        if count < threshold:
            raise SecAggRefusal(f"{counted(count, 'site')} in all, and {threshold} must be left at the end")
        return threshold

    def _keep_roster(self, roster: Roster, threshold: int) -> None:
        """Keep a roster for the later steps, once nothing can be refused of it any more."""
        self._roster, self._digest, self._threshold = roster, roster.digest, threshold

    def _peer(self, site: str) -> Advertisement:
        """Return what a site of the roster advertised."""
        return next(one for one in self._roster.advertisements if one.site == site)

    def _check_survivors(
        self, survivors: SurvivorList, *, sharers: Sequence[str], needed: Sequence[str] = ()
    ) -> None:
        """Check a list of survivors before this site signs it.

        Args:
            survivors: As the server sent it.
            sharers: The sites that this site knows to have got so far, in order.
            needed: Sites without which the list is of no use, beside this one.

        Raises:
            SecAggRefusal: It has other sharers, or survivors that are no sharers, lacks a site that is
                needed, or has fewer survivors than are demanded.
        """
        if survivors.sharers != [*sharers]:
            raise SecAggRefusal("the list has other sharers than this site knows")
        if not {*survivors.survivors} <= {*survivors.sharers}:
            raise SecAggRefusal("the list has survivors that are not among its sharers")
        for site in (self._site, *needed):
            if site not in survivors.survivors:
                raise SecAggRefusal(f"{site} is not among the survivors")
        self._require_enough(len(survivors.survivors), "left")

    def _sign_survivors(self, survivors: SurvivorList, *, lacking: Sequence[str] = ()) -> Confirmation:
        """Sign a list that was checked, and keep it for the confirmations of the others.

        Args:
            survivors: The list.
            lacking: Sites whose shares this site can't use, in order.
        """
        self._survivors = survivors
        signature = self._identity.sign(survivors.statement(self._digest, self._site))
        return Confirmation(context=self._context, site=self._site, signature=signature, lacking=[*lacking])

    def _check_confirmations(self, confirmations: ConfirmationList) -> None:
        """Check that enough sites signed the list that this site signed.

        Raises:
            SecAggRefusal: A signature is false or of a site that is not on the list, or they are too few.
        """
        for name, signature in confirmations.signatures.items():
            if name not in self._survivors.survivors or not is_signed(
                self._peer(name).identity, self._survivors.statement(self._digest, name), signature
            ):
                raise SecAggRefusal(f"{name} did not confirm the list of survivors that this site saw")
        self._require_enough(len(confirmations.signatures), "confirmed the list of survivors")

    def _require_enough(self, count: int, what: str) -> None:
        if count < self._threshold:
            raise SecAggRefusal(
                f"{what}: {counted(count, 'site')}, and at least {self._threshold} are demanded"
            )
