"""A hospital's part in one attempt at a round of sealed updates."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Final

from consilium.counts import counted
from consilium.secagg.advertising import sign_keys
from consilium.secagg.attempt_keys import AttemptKeys, decrypt, encrypt_once
from consilium.secagg.errors import OpenedOtherwise, SecAggRefusal
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

_ADVERTISED: Final = "advertise"
_ACCEPTED: Final = "accept"
_SEALED: Final = "seal"
_CONFIRMED: Final = "confirm"
_OPENED: Final = "open"


def whose_turn(roster: Roster) -> str:
    """Return the hospital that combines the updates of an attempt: each in turn, in the order of names.

    Every hospital computes it from the signed roster. But the server numbers the attempts, so with a hospital
    that colludes it can make each turn that one's.

    Args:
        roster: Of the attempt.
    """
    names = roster.names
    return names[(roster.context.attempt - 1) % len(names)]


class SealedSession:
    """The state of a hospital from its keys to the updates that it opens, if it has the turn.

    Its steps are `advertise`, `accept`, `seal`, `confirm` and, at the hospital with the turn, `open`.
    The secrets are in memory only: a site that restarts has dropped out of the attempt.

    A server that got two means of one round, with and without a hospital, would know that one's update. So a
    mean is of the updates of more than half of the hospitals, which confirm the same list, and each confirms
    one list of a round, in one attempt, ever.

    Args:
        context: The attempt, as this site knows it.
        site: The site's name.
        identity: Its identity.
        peers: Names of the hospitals that it takes part with, and the fingerprints of their identities.
        policy: How many hospitals' updates it demands in a mean.
        memory: Its durable memory.
        subject: Digest of what its update is made from, which a resumed job with another id shares.
        random: Source of random bytes; another one is for tests only.
    """

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
        self._policy = policy
        self._memory = memory
        self._subjects = [
            digest_statement("subject", context.job, context.round),
            digest_statement("further subject", subject),
        ]
        self._random = random
        self._steps = SessionSteps(
            context,
            {
                _SEALED: "one update is sealed in an attempt, and it was sent",
                _OPENED: "the updates of an attempt are opened once, and they were",
            },
        )
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
        return self._steps.answer(_ADVERTISED, None, None, self._advertise)

    def accept(self, roster: Roster) -> None:
        """Check who takes part.

        Raises:
            UnknownParties: The roster has sites that are not pinned.
            SecAggRefusal: It has a false signature, lacks this site or changes its keys, is too small, or is
                a second one.
        """
        self._steps.answer(_ACCEPTED, _ADVERTISED, roster, lambda: self._accept(roster))

    def seal(self, update: bytes) -> bytes:
        """Encrypt an update for the hospital whose turn it is; once.

        Args:
            update: As `pack_update` makes it.

        Raises:
            SecAggRefusal: An update was sealed before, or no roster was accepted.
        """
        return self._steps.answer(_SEALED, _ACCEPTED, None, lambda: self._seal(update))

    def confirm(self, survivors: SurvivorList) -> Confirmation:
        """Check and sign the list of the hospitals whose updates the mean will be of.

        Raises:
            SecAggRefusal: The list is too small, lacks this site or the hospital with the turn, has others
                than the roster, or is a second one.
            OpenedOtherwise: This site confirmed one in another attempt at the same round.
            DataError: Its memory can't be used.
        """
        return self._steps.answer(_CONFIRMED, _SEALED, survivors, lambda: self._confirm(survivors))

    def open(self, confirmations: ConfirmationList, sealed: Mapping[str, bytes]) -> dict[str, bytes | None]:
        """Decrypt the updates of the confirmed hospitals; once.

        Args:
            confirmations: The signatures of the list.
            sealed: What each hospital of the list encrypted.

        Returns:
            Each hospital's update; None where it can't be read.

        Raises:
            SecAggRefusal: It is another hospital's turn, confirmations are false or too few, or the updates
                are of others than the list's.
        """
        return self._steps.answer(
            _OPENED, _CONFIRMED, confirmations, lambda: self._open(confirmations, sealed)
        )

    @property
    def threshold(self) -> int:
        """Of how many hospitals a mean has to be, once the roster is known."""
        return self._threshold

    def _advertise(self) -> Advertisement:
        self._memory.begin_attempt(self._context.job, self._context.attempt)
        self._keys = AttemptKeys(self._random)
        return sign_keys(self._context, self._site, self._identity, self._keys, self._policy)

    def _accept(self, roster: Roster) -> None:
        check_roster(roster, self._fingerprints, own=self._steps.given(_ADVERTISED))
        count = len(roster.names)
        threshold = strictest_threshold((one.policy for one in roster.advertisements), count)
        if count < threshold:
            raise SecAggRefusal(f"{counted(count, 'site')} in all, and {threshold} are demanded")
        self._roster, self._digest, self._threshold = roster, roster.digest, threshold

    def _seal(self, update: bytes) -> bytes:
        receiver = self._advertised(whose_turn(self._roster))
        return encrypt_once(
            self._context, self._digest, self._keys.channel_key, receiver.channel_key,
            sender=self._site, receiver=receiver.site, content=update,
        )  # fmt: skip

    def _confirm(self, survivors: SurvivorList) -> Confirmation:
        if survivors.sharers != self._roster.names:
            raise SecAggRefusal("the list has other sites than the roster")
        if not {*survivors.survivors} <= {*survivors.sharers}:
            raise SecAggRefusal("the list has updates of sites that are not in the roster")
        for site in (self._site, whose_turn(self._roster)):
            if site not in survivors.survivors:
                raise SecAggRefusal(f"{site} is not among those whose updates count")
        self._require_enough(len(survivors.survivors), "left")
        self._record(survivors)
        self._survivors = survivors
        signature = self._identity.sign(survivors.statement(self._digest, self._site))
        return Confirmation(context=self._context, site=self._site, signature=signature, lacking=[])

    def _record(self, survivors: SurvivorList) -> None:
        """Record that this site takes part in the one mean of the round.

        Not even the same list is confirmed in a second attempt: the hospital with the turn leaves out what it
        can't use, and a server that damages another update each time would get two means of one round.
        """
        opened = digest_statement("opened", *self._context.parts, self._digest, *survivors.survivors)
        try:
            self._memory.record_opening(self._subjects, opened)
        except OpenedOtherwise:
            raise OpenedOtherwise(
                "this site confirmed who is in a mean of this round before, and two means of one round could "
                "show single updates: continue with the next round"
            ) from None

    def _open(self, confirmations: ConfirmationList, sealed: Mapping[str, bytes]) -> dict[str, bytes | None]:
        turn, survivors = whose_turn(self._roster), self._survivors
        if turn != self._site:
            raise SecAggRefusal(f"it is the turn of {turn} to combine the updates")
        for name, signature in confirmations.signatures.items():
            if name not in survivors.survivors or not is_signed(
                self._advertised(name).identity, survivors.statement(self._digest, name), signature
            ):
                raise SecAggRefusal(f"{name} did not confirm the list that this site saw")
        self._require_enough(len(confirmations.signatures), "confirmed the list")
        if sorted(sealed) != survivors.survivors:
            raise SecAggRefusal("the updates are of other sites than the list")
        return {name: self._read(name, sealed[name]) for name in survivors.survivors}

    def _read(self, sender: str, sealed: bytes) -> bytes | None:
        try:
            return decrypt(
                self._context, self._digest, self._keys.channel_key, self._advertised(sender).channel_key,
                sender=sender, receiver=self._site, sealed=sealed, what="update",
            )  # fmt: skip
        except SecAggRefusal:
            return None

    def _advertised(self, site: str) -> Advertisement:
        return next(one for one in self._roster.advertisements if one.site == site)

    def _require_enough(self, count: int, what: str) -> None:
        if count < self._threshold:
            raise SecAggRefusal(
                f"{what}: {counted(count, 'site')}, and at least {self._threshold} are demanded"
            )
