"""Hold what is sent no longer than until it is sent."""

from __future__ import annotations

from typing import Any

from nvflare.fuel.f3.streaming import byte_streamer
from nvflare.fuel.f3.streaming.byte_streamer import TxTask

from consilium.federation.replacement import replace


def release_send_buffers() -> None:
    """Let this process hold only what it may have to send again.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    replace(byte_streamer, "TxTask", OutgoingStream)


class OutgoingStream(TxTask):  # type: ignore[misc]
    """A message that this process sends.

    FLARE 2.9 sets a whole buffer aside for each, 1 MiB or what `streaming_chunk_size` says, though most have
    a few hundred bytes. It holds buffer and message until the other side has acknowledged all of it, beside
    the copies that it would send again, and then until Python's collector of cyclic garbage comes by: that
    counts objects and not their bytes, so on a busy server hundreds are dead, with all that they hold.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        length = self.stream.get_size()
        if 0 < length < self.chunk_size:
            self.buffer = memoryview(bytearray(length))

    def send_loop(self) -> None:
        """Send the message, and let go of it: what may have to be sent again is kept apart."""
        try:
            super().send_loop()
        finally:
            self.stream: Any = None
            self.buffer = memoryview(b"")
