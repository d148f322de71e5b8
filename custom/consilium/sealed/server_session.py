"""The server's part in one attempt at a round of sealed updates: it relays what it can't read."""

from __future__ import annotations

from collections.abc import Collection

from consilium.sealed.site_session import whose_turn
from consilium.secagg.errors import SecAggFailure, SecAggRefusal
from consilium.secagg.messages import Confirmation, ConfirmationList, SumContext, SurvivorList
from consilium.secagg.server_attempt import ServerAttempt


class SealedServer(ServerAttempt):
    """What the server collects in an attempt, and from whom: keys, acceptances, updates and signatures.

    Args:
        context: The attempt.
    """

    def __init__(self, context: SumContext) -> None:
        super().__init__(context)
        self._accepted: set[str] = set()
        self._sealed: set[str] = set()
        self._survivors: SurvivorList | None = None

    @property
    def turn(self) -> str:
        """The hospital that combines the updates, once the roster is known."""
        return whose_turn(self.roster)

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
        self._require_enough(self._sealed, "sent their updates")
        self._require_turn(self._sealed, "sent no update")
        self._survivors = SurvivorList(
            context=self._context, sharers=self.roster.names, survivors=sorted(self._sealed)
        )
        return self._survivors

    def add_confirmation(self, message: Confirmation) -> None:
        """Add a site's signature of the list.

        Raises:
            SecAggRefusal: It is false or of another attempt, or the site is not on the list.
        """
        self._require_context(message)
        if self._survivors is None or message.site not in self._survivors.survivors:
            raise SecAggRefusal(f"{message.site}: it is not among those whose updates count")
        self._require_signed(message, self._survivors)
        self._confirmations[message.site] = message

    def close_confirming(self) -> ConfirmationList:
        """Return the signatures, for the hospital with the turn.

        Raises:
            SecAggFailure: Too few sites signed.
        """
        return self._list_confirmations()

    def _require_turn(self, answered: Collection[str], what: str) -> None:
        if self.turn not in answered:
            raise SecAggFailure(
                f"{self.turn}, whose turn it was to combine the updates, {what}: begin another attempt, in "
                "which it is another hospital's"
            )
