"""Unfinished streams that a process receives, and how many of them one site may have."""

from __future__ import annotations

import time
from collections.abc import Iterable
from threading import Lock
from typing import Final, Generic, Protocol, TypeVar

STREAMS_PER_SITE: Final = 8
"""Unfinished streams of one site. Messages of one frame, which nearly all are, never count: a frame of the
kits has 128 KiB, a piece of a model 120, a site's statistics 40. A submitted job has more."""

OUT_OF_ORDER_BYTES: Final = 4 * 1024 * 1024
"""Bytes of one stream whose predecessors are missing. The kits have 1.125 MiB under way at most, and a job's
process takes no message larger than this."""

STALLED_SECONDS: Final = 60.0
"""After so long without progress, a stream makes room for a new one of its site, if that has the most."""


class Receipt(Protocol):
    """A stream that is being received."""

    site: str
    """First part of the sender's name."""
    one_frame: bool
    """Whether it came as a single frame, which is not counted."""
    progress: float
    """Time of the last chunk that came in order."""
    timeout: float
    """Seconds without progress after which FLARE gives a stream up."""


T = TypeVar("T", bound=Receipt)


class OpenStreams(Generic[T]):
    """Keeps the unfinished streams of each site.

    FLARE 2.9 gives each stream that has begun a thread of a pool that all sites share, for 300 s if nothing
    more comes, and keeps one whose first chunk is missing forever. A site could occupy all threads, and
    memory without end.
    """

    def __init__(self) -> None:
        self._sites: dict[str, set[T]] = {}
        self._lock = Lock()

    def add(self, stream: T) -> tuple[bool, list[T]]:
        """Add a stream, unless its site has too many.

        Returns:
            Whether it was added, and the streams removed because they made no progress.
        """
        now = time.monotonic()
        with self._lock:
            every = [one for streams in self._sites.values() for one in streams]
            stalled = [one for one in every if now - one.progress >= one.timeout]
            self._remove_all(stalled)
            if not stream.one_frame and self._is_full(stream.site):
                slow = [one for one in self._sites[stream.site] if now - one.progress >= STALLED_SECONDS]
                self._remove_all(slow)
                stalled += slow
            added = stream.one_frame or not self._is_full(stream.site)
            if added:
                self._sites.setdefault(stream.site, set()).add(stream)
        return added, stalled

    def remove(self, stream: T) -> None:
        """Remove a stream that has ended; without effect if it isn't there."""
        with self._lock:
            self._remove_all([stream])

    def count(self, site: str) -> int:
        """Return how many streams of a site are unfinished, messages of one frame included."""
        with self._lock:
            return len(self._sites.get(site, ()))

    def _is_full(self, site: str) -> bool:
        return sum(not one.one_frame for one in self._sites.get(site, ())) >= STREAMS_PER_SITE

    def _remove_all(self, streams: Iterable[T]) -> None:
        for stream in streams:
            open_ = self._sites.get(stream.site, set())
            open_.discard(stream)
            if not open_:
                self._sites.pop(stream.site, None)
