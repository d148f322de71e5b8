"""How large a message to a job's process at the server may be."""

from __future__ import annotations

from typing import Final

from nvflare.fuel.f3.cellnet.cell import Cell
from nvflare.fuel.f3.cellnet.defs import CellChannel
from nvflare.fuel.f3.streaming.blob_streamer import BlobHandler

from consilium.errors import ConfigurationError
from consilium.federation.replacement import require_known

LARGEST_MESSAGE: Final = 4 * 1024 * 1024
"""Bytes, without the arrays, which are fetched piece by piece. A report has 2 kB, a site's statistics 40."""

_CHANNELS = (CellChannel.SERVER_COMMAND, CellChannel.AUX_COMMUNICATION, CellChannel.RETURN_ONLY)


def limit_messages(cell: Cell, most_bytes: int = LARGEST_MESSAGE) -> None:
    """Let a process refuse larger messages before they are in its memory; FLARE takes 4 GiB.

    FLARE reads its limit from the site's files when the process starts, for all that it ever receives.

    Args:
        cell: The process's end of all connections.
        most_bytes: Of one message.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    require_known(BlobHandler)
    for channel in _CHANNELS:
        callback = cell.byte_receiver.registry.find(channel, "*")
        handler = getattr(getattr(callback, "cb", None), "__self__", None)
        if not isinstance(handler, BlobHandler):
            raise ConfigurationError(
                f"messages on FLARE's channel {channel} are not taken in as by nvflare 2.9, so their size "
                "can't be limited; install nvflare 2.9"
            )
        handler.max_blob_size = most_bytes
