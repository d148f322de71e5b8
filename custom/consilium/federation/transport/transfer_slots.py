"""Slots that limit concurrent transfers of models and updates."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from threading import Condition


class TransferSlots:
    """Slots for concurrent transfers.

    Sites that all transfer at once are hardly done earlier than those that take turns, as they share the
    server's line and cores, but each transfer takes memory at the server.

    No transfer waits longer than `patience_seconds`, and a slot held for longer no longer counts: a slow or
    dead site delays the others by at most that.

    Args:
        at_once: Concurrent transfers, at least 1.
        patience_seconds: Longest wait for a slot, in s.
    """

    def __init__(self, at_once: float, patience_seconds: float) -> None:
        self._at_once = at_once
        self._patience = patience_seconds
        self._since: dict[Hashable, float] = {}
        self._changed = Condition()
        self._ended = False

    def acquire(self, who: Hashable) -> None:
        """Wait for a slot; return at once if it is already held.

        Args:
            who: Any name of the transfer; `release` takes the same.
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
        """Free the slot; without effect if it is not held."""
        with self._changed:
            if self._since.pop(who, None) is not None:
                self._changed.notify()

    @contextmanager
    def hold(self, who: Hashable) -> Iterator[None]:
        """Hold a slot for the duration of a block."""
        self.acquire(who)
        try:
            yield
        finally:
            self.release(who)

    def release_all(self) -> None:
        """End all waiting, as the job ends."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _is_free(self) -> bool:
        now = time.monotonic()
        self._since = {who: since for who, since in self._since.items() if now - since < self._patience}
        return self._ended or len(self._since) < self._at_once
