"""Incoming streams: limits for unfinished ones, little memory for completed ones."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Iterable
from threading import Lock
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

from nvflare.fuel.f3.cellnet.core_cell import CoreCell
from nvflare.fuel.f3.cellnet.fqcn import FQCN
from nvflare.fuel.f3.message import Message
from nvflare.fuel.f3.streaming import byte_receiver
from nvflare.fuel.f3.streaming.byte_receiver import RxTask
from nvflare.fuel.f3.streaming.stream_const import StreamDataType, StreamHeaderKey
from nvflare.fuel.f3.streaming.stream_types import StreamError

from consilium.counts import counted
from consilium.federation.replacement import replace

STREAMS_PER_SITE: Final = 8
"""Unfinished streams of one site. Messages of one frame, which nearly all are, don't count: a frame of the
kits has 128 KiB, a piece of a model 120, a site's statistics 40. A submitted job has more."""

OUT_OF_ORDER_BYTES: Final = 4 * 1024 * 1024
"""Bytes of one stream whose predecessors are missing. The kits have 1.125 MiB under way at most, and a job's
process takes no message larger than this."""

STALLED_SECONDS: Final = 60.0
"""A stream without progress for so long makes room for a new one of its site, if the site is at its limit."""

_REJECTED_SECONDS = 5.0
"""How long a rejected stream is remembered, for its chunks that are already on their way."""


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
    """The unfinished streams of each site.

    FLARE 2.9 gives each stream a thread of a pool that all sites share, for 300 s if nothing more arrives,
    and keeps a stream whose first chunk is missing forever. One site could occupy all threads, and unlimited
    memory.
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


def free_completed_streams() -> None:
    """Limit the incoming streams of each site, and keep little of a completed stream.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    replace(byte_receiver, "RxTask", IncomingStream)


class IncomingStream(RxTask):  # type: ignore[misc]
    """A stream that this process receives.

    Each answer to a request is a stream. FLARE 2.9 keeps all of it for as long as the sender may repeat its
    end, with a timer and so a thread for each: 330 s with the settings of our kits. A site that asks for a
    task every second has 330 threads by then, and a server as many for pieces of updates.

    Here a completed stream leaves only what it takes to confirm it once more, and that is dropped when it is
    due, whenever another stream ends.

    A site may have few unfinished streams at a time, with few bytes out of order in each: see `OpenStreams`.
    Streams of the server and of the site's own processes are not limited.
    """

    streams: ClassVar[OpenStreams[IncomingStream]] = OpenStreams()

    _due: ClassVar[list[tuple[float, int, RxTask | _CompletedStream]]] = []
    _lock: ClassVar[Lock] = Lock()
    _order: ClassVar[itertools.count[int]] = itertools.count()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.site: str = self.origin.split(".")[0]
        self.one_frame = False
        self.progress = time.monotonic()
        self._limited = self.site not in (FQCN.ROOT_SERVER, self.cell.my_info.fqcn.split(".")[0])
        self._is_registered = False

    @classmethod
    def find_or_create_task(cls, message: Message, cell: CoreCell) -> RxTask | None:
        """Return the stream to which a message belongs; None if its site has too many for a new one."""
        task = super().find_or_create_task(message, cell)
        if isinstance(task, IncomingStream) and not task._register(message):
            return None
        return task

    def stop(self, error: Exception | None = None, notify: bool = True) -> None:
        """End the stream, and free its chunks if it failed."""
        try:
            super().stop(error, notify)
        finally:
            self.streams.remove(self)
        if self.failed:
            with self.lock:
                self.chunks.clear()
                self.out_seq_chunks.clear()

    def _register(self, message: Message) -> bool:
        with self.stop_lock:
            if self._is_registered or not self._limited or self.failed or self.completed:
                return True
            self._is_registered = True
            self.one_frame = (
                message.get_header(StreamHeaderKey.SEQUENCE) == 0
                and message.get_header(StreamHeaderKey.DATA_TYPE) == StreamDataType.FINAL
            )
            added, stalled = self.streams.add(self)
        for one in stalled:
            one.stop(StreamError(f"{one} made no progress for {time.monotonic() - one.progress:.0f} s"))
        if not added:
            self.completed_task_ttl = _REJECTED_SECONDS
            self.stop(
                StreamError(f"{self} rejected: {self.site} has {STREAMS_PER_SITE} unfinished streams already")
            )
        return added

    def _handle_incoming_data(
        self, seq: int, message: Message
    ) -> tuple[bool, tuple[int, int] | None, StreamError | None]:
        if self._limited and seq > self.next_seq and seq not in self.out_seq_chunks:
            waiting = sum(len(payload or b"") for _, payload in self.out_seq_chunks.values())
            most = 0 if self.one_frame else OUT_OF_ORDER_BYTES
            if waiting + len(message.payload or b"") > most:
                return False, None, StreamError(f"{self} has more than {counted(most, 'byte')} out of order")
        result: tuple[bool, tuple[int, int] | None, StreamError | None] = super()._handle_incoming_data(
            seq, message
        )
        return result

    def _append(self, seq: int, buf: tuple[bool, Any]) -> None:
        self.progress = time.monotonic()
        super()._append(seq, buf)

    def _schedule_remove_task(self, ttl: float | None = None) -> None:
        left = self if self.failed else _CompletedStream(self)
        key = self.origin, self.sid
        now = time.monotonic()
        with RxTask.map_lock:
            if RxTask.rx_task_map.get(key) is self:
                RxTask.rx_task_map[key] = left
        until = now + (self.completed_task_ttl if ttl is None else ttl)
        with self._lock:
            heapq.heappush(self._due, (until, next(self._order), left))
            due = []
            while self._due[0][0] <= now:
                due.append(heapq.heappop(self._due)[2])
        with RxTask.map_lock:
            for one in due:
                if RxTask.rx_task_map.get((one.origin, one.sid)) is one:
                    del RxTask.rx_task_map[one.origin, one.sid]


class _CompletedStream:
    """Remainder of a completed stream; FLARE's receiver treats it as the stream itself.

    Args:
        task: The stream.
    """

    __slots__ = ("_cell", "_offset", "_reliable", "_sequence", "origin", "sid")

    def __init__(self, task: RxTask) -> None:
        self.origin: str = task.origin
        self.sid: int = task.sid
        self._cell: CoreCell = task.cell
        self._offset: int = task.received_offset
        self._sequence: int = task.seq
        self._reliable: bool = task.reliable

    def process_chunk(self, message: Message) -> bool:
        """Confirm once more that all has arrived; returns that no stream begins."""
        if self._reliable:
            task = RxTask(self.sid, self.origin, self._cell, reliable=True)
            task.completed = True
            task.offset_ack, task.seq_ack = self._offset, self._sequence
            task._send_ack(self._offset, self._sequence)
        return False

    def stop(self, error: Exception | None = None, notify: bool = True) -> None:
        """Do nothing: the sender gave up a stream that is complete."""
