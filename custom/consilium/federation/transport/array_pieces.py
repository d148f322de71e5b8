"""Send arrays in pieces of one size, and take updates in on the server's disk.

FLARE 2.9 lets whoever is sent arrays fetch them (`fuel/f3/streaming/download_service.py`). Its own way for
NumPy's fetches up to 2 MiB at a time, and any array as a whole, however large, and what is fetched stays in
memory. With 64 sites at once the server holds each of these pieces for each of them, several times over, and
then all their updates. FLARE can put what comes on a disk as well, but only PyTorch's tensors.

Here arrays are laid end to end and cut into pieces of one size, FLARE's `np_download_chunk_size`, and a
server's process keeps what comes in a file until it is used. FLARE's protocol of requests, repetitions and
confirmations stays what it is.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from nvflare.app_common.decomposers import numpy_decomposers
from nvflare.fuel.f3.cellnet.cell import Cell
from nvflare.fuel.f3.streaming.download_service import Consumer, Downloadable, ProduceRC, download_object

from consilium.counts import counted
from consilium.federation.replacement import replace
from consilium.federation.transport.array_table import ArrayTable
from consilium.federation.transport.arrival import Arrival, DiskArrival, MemoryArrival
from consilium.federation.transport.transfer_slots import TransferSlots

_NUMBER = "number"
_FOLDER, _MOST_BYTES = "consilium_arrivals_folder", "consilium_arrivals_most_bytes"

_log = logging.getLogger(__name__)


def install_array_transfer() -> None:
    """Let this process send and fetch arrays in pieces of one size; those at the other end have to as well.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    replace(numpy_decomposers, "ArrayDownloadable", ArrayPieces)
    replace(numpy_decomposers, "download_arrays", fetch_arrays)


def spool_arrivals(cell: Cell, folder: Path, most_bytes: int) -> None:
    """Let a process keep arrays that come in files, and refuse what is larger than an update can be.

    Args:
        cell: The process's end of all connections.
        folder: For the files. With no room there, memory takes their place.
        most_bytes: That the arrays of one message may have.
    """
    cell.update_fobs_context({_FOLDER: folder, _MOST_BYTES: most_bytes})


def limit_transfers(slots: TransferSlots) -> None:
    """Let this process send and fetch arrays for a few others at a time."""
    ArrayPieces.slots = slots


class ArrayPieces(Downloadable):  # type: ignore[misc]
    """Arrays to be fetched by several sites, each at its own pace; nothing is kept for any of them.

    Args:
        arrays: By name; they must not change until they are fetched.
        max_chunk_size: Bytes of a piece; the last may be shorter.

    Attributes:
        slots: Of all arrays of this process; nobody waits if nothing else is said.

    Raises:
        ValueError: If one is not of numbers.
    """

    slots: ClassVar[TransferSlots] = TransferSlots(at_once=math.inf, patience_seconds=0.0)

    def __init__(self, arrays: Mapping[str, NDArray[Any]], max_chunk_size: int) -> None:
        super().__init__(arrays)
        self._table = ArrayTable.of(arrays)
        self._piece_bytes = max_chunk_size
        self._pieces = max(1, -(-self._table.bytes // max_chunk_size))
        self._stretches: list[NDArray[np.uint8]] | None = [
            np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in arrays.values()
        ]

    def produce(self, state: dict[str, int] | None, requester: str) -> tuple[str, Any, dict[str, int]]:
        """Return the piece behind the one that a site has; FLARE calls this for each of its requests.

        For the first one a site may have to wait for its turn.

        Args:
            state: What came with the piece before, from the site; nothing at first.
            requester: The site's process.

        Returns:
            FLARE's code, a piece, and what the site sends with its next request. Before the first piece comes
            the description of all arrays.
        """
        number = state.get(_NUMBER) if state else -1
        if not isinstance(number, int) or not -1 <= number < self._pieces:
            return ProduceRC.ERROR, None, {}
        number += 1
        if number == self._pieces:
            return ProduceRC.EOF, None, {}
        head = []
        if number == 0:
            self.slots.acquire((id(self), requester))
            head = [self._head()]
        return ProduceRC.OK, [*head, self._piece(number)], {_NUMBER: number}

    def downloaded_to_one(self, to_receiver: str, status: str) -> None:
        """Let the next site have its turn, when one has got all, or is given up."""
        self.slots.release((id(self), to_receiver))

    def release(self) -> None:
        """Let go of the arrays."""
        self.base_obj = self._stretches = None

    def _head(self) -> bytes:
        return self._piece_bytes.to_bytes(8, "big") + self._table.describe()

    def _piece(self, number: int) -> bytes:
        stretches = self._stretches
        if stretches is None:
            raise RuntimeError("arrays were asked for after all had fetched them")
        at = number * self._piece_bytes
        last = min(at + self._piece_bytes, self._table.bytes)
        parts: list[bytes | memoryview] = []
        for span, stretch in zip(self._table.spans, stretches, strict=True):
            start, end = max(span.start, at), min(span.end, last)
            if start < end:
                parts += [bytes(start - at), stretch[start - span.start : end - span.start].data]
                at = end
        parts.append(bytes(last - at))
        return b"".join(parts)


class PieceCollector(Consumer):  # type: ignore[misc]
    """Puts arrays together from their pieces, which come one after the other.

    Args:
        receive: Makes room for so many bytes.
        most_bytes: That may come; None: however many.

    Attributes:
        error: Why they could not be fetched, None if they could.
        arrays: By name, when all pieces have come.
    """

    supports_pipelining = True

    def __init__(self, receive: Callable[[int], Arrival], most_bytes: int | None = None) -> None:
        super().__init__()
        self._receive = receive
        self._most_bytes = most_bytes
        self._table: ArrayTable | None = None
        self._arrival: Arrival | None = None
        self._piece_bytes = 0
        self._number, self._bytes = -1, 0
        self.error: str | None = None
        self.arrays: dict[str, NDArray[Any]] | None = None

    def consume(self, ref_id: str, state: dict[str, int], data: list[bytes]) -> dict[str, int]:
        """Take a piece.

        Raises:
            ValueError: If it is not the next one, or does not fit what was described.
            OSError: If it can't be kept.
        """
        if state.get(_NUMBER) != self._number + 1:
            raise ValueError("a piece came out of its turn")
        if self._arrival is None:
            head, *data = data
            self._make_room(head)
        (piece,) = data
        assert self._arrival is not None
        assert self._table is not None
        if len(piece) != min(self._piece_bytes, self._table.bytes - self._bytes):
            raise ValueError(f"a piece of {counted(len(piece), 'byte')} does not fit what was described")
        self._arrival.write(self._bytes, piece)
        self._number, self._bytes = self._number + 1, self._bytes + len(piece)
        return state

    def download_completed(self, ref_id: str) -> None:
        """Put the arrays together.

        Raises:
            ValueError: If a piece is missing.
        """
        if self._table is None or self._arrival is None or self._bytes != self._table.bytes:
            raise ValueError("not all pieces have come")
        self.arrays = self._table.arrays_in(self._arrival.content())

    def download_failed(self, ref_id: str, reason: str) -> None:
        """Take note that no more will come."""
        self.logger.error(f"arrays could not be fetched: {reason}")
        self.error, self.arrays, self._arrival = reason, None, None

    def _make_room(self, head: bytes) -> None:
        self._piece_bytes = int.from_bytes(head[:8], "big")
        if not self._piece_bytes:
            raise ValueError("pieces without a length never end")
        self._table = ArrayTable.parse(head[8:])
        if self._most_bytes is not None and self._table.bytes > self._most_bytes:
            raise ValueError(
                f"{counted(self._table.bytes, 'byte')} are announced, and {self._most_bytes} allowed"
            )
        self._arrival = self._receive(self._table.bytes)


def fetch_arrays(
    from_fqcn: str, ref_id: str, per_request_timeout: float, cell: Cell, **options: Any
) -> tuple[str | None, dict[str, NDArray[Any]] | None]:
    """Fetch arrays that another process offers; called by FLARE as its `download_arrays` is.

    Returns:
        Why it failed, or None; and the arrays.
    """
    context = cell.get_fobs_context()
    collector = PieceCollector(partial(_make_room, context.get(_FOLDER)), context.get(_MOST_BYTES))
    with ArrayPieces.slots.hold((ref_id, from_fqcn)):
        download_object(
            from_fqcn=from_fqcn,
            ref_id=ref_id,
            consumer=collector,
            per_request_timeout=per_request_timeout,
            cell=cell,
            **options,
        )
    return collector.error, collector.arrays


def _make_room(folder: Path | None, length: int) -> Arrival:
    if folder is not None and length:
        try:
            return DiskArrival.allocate(length, folder)
        except OSError as error:
            _log.warning(f"an update is kept in memory, as there is no room on the disk: {error.strerror}")
    return MemoryArrival(length)
