"""Outgoing streams that free their buffers once they are sent."""

from __future__ import annotations

from typing import Any

from nvflare.fuel.f3.streaming import byte_streamer
from nvflare.fuel.f3.streaming.byte_streamer import TxTask

from consilium.federation.replacement import replace


def release_send_buffers() -> None:
    """Release buffers except those that may have to be sent again.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    replace(byte_streamer, "TxTask", OutgoingStream)


class OutgoingStream(TxTask):  # type: ignore[misc]
    """A message that this process sends.

    FLARE 2.9 allocates a whole buffer for each, 1 MiB or `streaming_chunk_size`, though most messages have a
    few hundred bytes. It holds buffer and message until the receiver has acknowledged all of it, besides the
    copies for repetitions, and then until Python's cyclic garbage collector runs. That counts objects, not
    their bytes, so a busy server keeps hundreds of dead messages.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        length = self.stream.get_size()
        if 0 < length < self.chunk_size:
            self.buffer = memoryview(bytearray(length))

    def send_loop(self) -> None:
        """Send the message and free it, except parts that may have to be sent again."""
        try:
            super().send_loop()
        finally:
            self.stream: Any = None
            self.buffer = memoryview(b"")
