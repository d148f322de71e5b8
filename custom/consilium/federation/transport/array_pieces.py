"""Transfer of arrays in pieces of one size, received into a file at the server.

In FLARE 2.9 the receiver of arrays fetches them (`fuel/f3/streaming/download_service.py`). NumPy arrays are
fetched up to 2 MiB at a time, but each as a whole, however large, and stay in memory. With 64 sites at once
the server holds each of these pieces for each site, several times over, and then all updates. FLARE can
receive on disk too, but only PyTorch tensors.

Here arrays are laid end to end and cut into pieces of one size, FLARE's `np_download_chunk_size`, and the
server's process keeps them in a file until they are used. FLARE's protocol of requests, repetitions and
confirmations is unchanged.
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
    """Transfer arrays of this process in pieces of one size; the other end has to do the same.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    replace(numpy_decomposers, "ArrayDownloadable", ArrayPieces)
    replace(numpy_decomposers, "download_arrays", fetch_arrays)


def spool_arrivals(cell: Cell, folder: Path, most_bytes: int) -> None:
    """Receive arrays in files, and reject those larger than an update can be.

    Args:
        cell: The process's end of all connections.
        folder: For the files; without room there, arrays stay in memory.
        most_bytes: Limit for the arrays of one message.
    """
    cell.update_fobs_context({_FOLDER: folder, _MOST_BYTES: most_bytes})


def limit_transfers(slots: TransferSlots) -> None:
    """Limit this process's concurrent transfers."""
    ArrayPieces.slots = slots


class ArrayPieces(Downloadable):  # type: ignore[misc]
    """Arrays that several sites fetch, each at its own pace, without state per site.

    Args:
        arrays: By name; they must not change until they are fetched.
        max_chunk_size: Bytes of a piece; the last may be shorter.

    Attributes:
        slots: Of all transfers of this process; unlimited by default.

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
        """Return the next piece for a site; FLARE calls this for each of its requests.

        The first request may have to wait for a slot.

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
        """Free the slot of a site that has all pieces or is given up."""
        self.slots.release((id(self), to_receiver))

    def release(self) -> None:
        """Free the arrays."""
        self.base_obj = self._stretches = None

    def _head(self) -> bytes:
        return self._piece_bytes.to_bytes(8, "big") + self._table.describe()

    def _piece(self, number: int) -> bytes:
        stretches = self._stretches
        if stretches is None:
            raise RuntimeError("arrays were requested after they had been freed")
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
    """Assembles arrays from their pieces, which arrive in order.

    Args:
        receive: Makes room for a number of bytes.
        most_bytes: Limit; None for none.

    Attributes:
        error: Why the transfer failed; None if it has not.
        arrays: By name, once all pieces have arrived.
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
            ValueError: If it is not the next one, or does not fit the description.
            OSError: If it can't be kept.
        """
        if state.get(_NUMBER) != self._number + 1:
            raise ValueError("a piece arrived out of order")
        if self._arrival is None:
            head, *data = data
            self._make_room(head)
        (piece,) = data
        assert self._arrival is not None
        assert self._table is not None
        if len(piece) != min(self._piece_bytes, self._table.bytes - self._bytes):
            raise ValueError(f"a piece of {counted(len(piece), 'byte')} does not fit the description")
        self._arrival.write(self._bytes, piece)
        self._number, self._bytes = self._number + 1, self._bytes + len(piece)
        return state

    def download_completed(self, ref_id: str) -> None:
        """Assemble the arrays.

        Raises:
            ValueError: If a piece is missing.
        """
        if self._table is None or self._arrival is None or self._bytes != self._table.bytes:
            raise ValueError("pieces are missing")
        self.arrays = self._table.arrays_in(self._arrival.content())

    def download_failed(self, ref_id: str, reason: str) -> None:
        """Record that the transfer has failed."""
        self.logger.error(f"arrays could not be fetched: {reason}")
        self.error, self.arrays, self._arrival = reason, None, None

    def _make_room(self, head: bytes) -> None:
        self._piece_bytes = int.from_bytes(head[:8], "big")
        if not self._piece_bytes:
            raise ValueError("the pieces have no length")
        self._table = ArrayTable.parse(head[8:])
        if self._most_bytes is not None and self._table.bytes > self._most_bytes:
            raise ValueError(
                f"{counted(self._table.bytes, 'byte')} are announced, and {self._most_bytes} allowed"
            )
        self._arrival = self._receive(self._table.bytes)


def fetch_arrays(
    from_fqcn: str, ref_id: str, per_request_timeout: float, cell: Cell, **options: Any
) -> tuple[str | None, dict[str, NDArray[Any]] | None]:
    """Fetch arrays from another process; called by FLARE in place of its `download_arrays`.

    Returns:
        Why it failed, or None, and the arrays.
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
