"""Adjustments to FLARE's transport for which it has no setting."""

from __future__ import annotations

from typing import Any, Final

from nvflare.fuel.f3.cellnet import cell as cell_module
from nvflare.fuel.f3.cellnet.cell import Cell
from nvflare.fuel.f3.cellnet.defs import CellChannel
from nvflare.fuel.f3.streaming import file_downloader
from nvflare.fuel.f3.streaming.blob_streamer import BlobHandler
from nvflare.fuel.f3.streaming.stream_utils import CALLBACK_THREAD_POOL_SIZE, callback_thread_pool

from consilium.errors import ConfigurationError
from consilium.federation.replacement import replace, require_known

LARGEST_MESSAGE: Final = 4 * 1024 * 1024
"""Bytes, without arrays, which are fetched in pieces. A report has 2 kB, a site's statistics 40 kB."""

FILE_PIECE_BYTES: Final = 1024 * 1024

_CHANNELS = (CellChannel.SERVER_COMMAND, CellChannel.AUX_COMMUNICATION, CellChannel.RETURN_ONLY)


def limit_messages(cell: Cell, most_bytes: int = LARGEST_MESSAGE) -> None:
    """Reject larger messages before they are in memory; FLARE accepts 4 GiB.

    FLARE reads its own limit from the site's files when the process starts, for all messages.

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


def grow_callback_pool(sites: int) -> None:
    """Let this process receive the updates of many sites at the same time.

    FLARE 2.9 handles at most 64 messages at once, and has no setting for it. An update holds a thread until
    its last piece has arrived, and each piece is a message that takes a thread as well: as soon as 64 sites
    send at the same time, all wait for each other until FLARE gives up the pieces.

    Args:
        sites: Sites that may send at the same time.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    require_known(type(callback_thread_pool))
    # Threads are created on demand, up to this attribute of the pool.
    wanted = CALLBACK_THREAD_POOL_SIZE + sites
    callback_thread_pool._max_workers = max(callback_thread_pool._max_workers, wanted)


def tolerate_broken_uploads() -> None:
    """Let a server's job treat an update that can't be read as missing.

    FLARE 2.9 ends the job's process at the server when a site's update can't be fetched or read: a site whose
    process dies while it sends costs all others their round, and deliberate nonsense the job. Here the site
    gets the error and sends its update again for as long as it is wanted; the job's rules decide whether to
    wait for it.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    # FLARE ends the process of a server's job if this function returns true.
    replace(cell_module, "_is_server_job_cell", _ends_with_a_message)


def _ends_with_a_message(my_info: Any) -> bool:
    return False


def limit_file_pieces() -> None:
    """Send a job's result in pieces of 1 MiB; FLARE's have 5 MiB.

    A piece is a message, and a message of several MiB is rejected under a server kit's
    `streaming_max_blob_size`. FLARE's commands read that from any kit below the folder in which they are
    started, such as a POC's, so a user there could download no result of more than 4 MiB.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    require_known(file_downloader.FileDownloadable)
    file_downloader.DEFAULT_CHUNK_SIZE = FILE_PIECE_BYTES
