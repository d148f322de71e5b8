"""Remember streams that have ended without a thread for each, and little of them."""

from __future__ import annotations

import heapq
import itertools
import time
from threading import Lock
from typing import ClassVar

from nvflare.fuel.f3.cellnet.core_cell import CoreCell
from nvflare.fuel.f3.message import Message
from nvflare.fuel.f3.streaming import byte_receiver
from nvflare.fuel.f3.streaming.byte_receiver import RxTask

from consilium.federation.replacement import replace


def remember_little_of_ended_streams() -> None:
    """Let this process keep no thread for a stream that has ended, and none of what came with it.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    replace(byte_receiver, "RxTask", ThriftyRxTask)


class ThriftyRxTask(RxTask):  # type: ignore[misc]
    """A stream that this process receives, of which little is left when it has ended.

    Each answer to a request is a stream. FLARE 2.9 remembers all of it for as long as the other side may send
    its end once more, with a timer and so a thread for each: 330 s with the settings of our kits. A site that
    asks for a task every second has 330 threads by then, and so has a server for as many pieces of updates.

    Here a stream that came whole leaves what it takes to confirm it once more, and what is due is forgotten
    whenever another stream ends.
    """

    _due: ClassVar[list[tuple[float, int, RxTask | _EndedStream]]] = []
    _lock: ClassVar[Lock] = Lock()
    _order: ClassVar[itertools.count[int]] = itertools.count()

    def _schedule_remove_task(self, ttl: float | None = None) -> None:
        left = self if self.failed else _EndedStream(self)
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


class _EndedStream:
    """What is left of a stream that came whole; FLARE's receiver takes it for the stream itself.

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
        """Confirm that all has come, as the sender seems not to know; returns that no stream begins."""
        if self._reliable:
            task = RxTask(self.sid, self.origin, self._cell, reliable=True)
            task.completed = True
            task.offset_ack, task.seq_ack = self._offset, self._sequence
            task._send_ack(self._offset, self._sequence)
        return False

    def stop(self, error: Exception | None = None, notify: bool = True) -> None:
        """Do nothing: the sender gave a stream up that came whole."""
