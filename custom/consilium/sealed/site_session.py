"""A hospital's part in one attempt at a round of sealed updates."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from consilium.secagg.attempt_keys import decrypt, encrypt_once
from consilium.secagg.errors import OpenedOtherwise, SecAggRefusal
from consilium.secagg.messages import Confirmation, ConfirmationList, Roster, SurvivorList
from consilium.secagg.site_attempt import ADVERTISED, SiteAttempt
from consilium.secagg.statements import digest_statement

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


class SealedSession(SiteAttempt):
    """The state of a hospital from its keys to the updates that it opens, if it has the turn.

    Its steps are `advertise`, `accept`, `seal`, `confirm` and, at the hospital with the turn, `open`.

    A server that got two means of one round, with and without a hospital, would know that one's update. So a
    mean is of the updates of more than half of the hospitals, which confirm the same list, and each confirms
    one list of a round, in one attempt, ever.
    """

    once = MappingProxyType(
        {
            _SEALED: "one update is sealed in an attempt, and it was sent",
            _OPENED: "the updates of an attempt are opened once, and they were",
        }
    )

    def accept(self, roster: Roster) -> None:
        """Check who takes part.

        Raises:
            UnknownParties: The roster has sites that are not pinned.
            SecAggRefusal: It has a false signature, lacks this site or changes its keys, is too small, or is
                a second one.
        """
        self._steps.answer(_ACCEPTED, ADVERTISED, roster, lambda: self._accept(roster))

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

    def _accept(self, roster: Roster) -> None:
        self._keep_roster(roster, self._check_roster(roster))

    def _seal(self, update: bytes) -> bytes:
        receiver = self._peer(whose_turn(self._roster))
        return encrypt_once(
            self._context, self._digest, self._keys.channel_key, receiver.channel_key,
            sender=self._site, receiver=receiver.site, content=update,
        )  # fmt: skip

    def _confirm(self, survivors: SurvivorList) -> Confirmation:
        turn = whose_turn(self._roster)
        self._check_survivors(survivors, sharers=self._roster.names, needed=[turn])
        self._record(survivors)
        return self._sign_survivors(survivors)

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
        self._check_confirmations(confirmations)
        if sorted(sealed) != survivors.survivors:
            raise SecAggRefusal("the updates are of other sites than the list")
        return {name: self._read(name, sealed[name]) for name in survivors.survivors}

    def _read(self, sender: str, sealed: bytes) -> bytes | None:
        try:
            return decrypt(
                self._context, self._digest, self._keys.channel_key, self._peer(sender).channel_key,
                sender=sender, receiver=self._site, sealed=sealed, what="update",
            )  # fmt: skip
        except SecAggRefusal:
            return None
