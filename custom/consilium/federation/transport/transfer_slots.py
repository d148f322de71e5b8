"""Let a few models and updates travel at a time, whatever the number of sites."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from threading import Condition


class TransferSlots:
    """Whose model or update travels now, and who waits for that.

    Sites that all fetch and send at once are hardly done earlier than those that take slots, as the server's
    line and cores are the same, but each takes memory of the server's while it does.

    Nobody waits longer than `patience_seconds`, and who takes longer than that is no longer counted: a site
    on a thin line, or one that has died, costs the others that much at most.

    Args:
        at_once: How many travel at a time, at least 1.
        patience_seconds: How long one waits for its turn at most.
    """

    def __init__(self, at_once: float, patience_seconds: float) -> None:
        self._at_once = at_once
        self._patience = patience_seconds
        self._since: dict[Hashable, float] = {}
        self._changed = Condition()
        self._ended = False

    def acquire(self, who: Hashable) -> None:
        """Wait for a turn; one who has it already goes on.

        Args:
            who: Any name, with which `end` is called.
        """
        limit = time.monotonic() + self._patience
        with self._changed:
            while who not in self._since and not self._is_free():
                now = time.monotonic()
                if now >= limit:
                    break
                one_lapses = min(self._since.values()) + self._patience
                self._changed.wait(min(limit, one_lapses) - now)
            self._since.setdefault(who, time.monotonic())

    def release(self, who: Hashable) -> None:
        """Leave the turn to the next; without effect for one who has none."""
        with self._changed:
            if self._since.pop(who, None) is not None:
                self._changed.notify()

    @contextmanager
    def hold(self, who: Hashable) -> Iterator[None]:
        """Do something in one's turn."""
        self.acquire(who)
        try:
            yield
        finally:
            self.release(who)

    def release_all(self) -> None:
        """Let nobody wait any more: the job ends."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _is_free(self) -> bool:
        now = time.monotonic()
        self._since = {who: since for who, since in self._since.items() if now - since < self._patience}
        return self._ended or len(self._since) < self._at_once
