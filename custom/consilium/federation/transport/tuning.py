"""How large a message to a job's process at the server may be."""

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
"""Bytes, without the arrays, which are fetched piece by piece. A report has 2 kB, a site's statistics 40."""

FILE_PIECE_BYTES: Final = 1024 * 1024

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


def grow_callback_pool(sites: int) -> None:
    """Let this process take in the updates of so many sites at the same time.

    FLARE 2.9 works on at most 64 messages at once, and has no setting for it. An update keeps a thread until
    its last piece has come, and each piece is a message that takes a thread as well: as soon as 64 sites send
    at the same time, all of them wait for each other until FLARE gives the pieces up.

    Args:
        sites: How many may send at the same time.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    require_known(type(callback_thread_pool))
    # The threads are made as they are needed, and one of the pool's own attributes says how many may be.
    wanted = CALLBACK_THREAD_POOL_SIZE + sites
    callback_thread_pool._max_workers = max(callback_thread_pool._max_workers, wanted)


def tolerate_broken_uploads() -> None:
    """Let a server's job take an update that can't be read for one that has not come.

    FLARE 2.9 ends the job's process at the server when a site's update can't be fetched or read: a site whose
    process dies while it sends costs all others their round, and one that sends nonsense on purpose the job.
    Without that the failure goes back to the site, which sends its update again for as long as it is wanted;
    whether to wait for it is for the job's rules to say.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    # FLARE ends the process of a server's job, and no other, by what this function says.
    replace(cell_module, "_is_server_job_cell", _ends_with_a_message)


def _ends_with_a_message(my_info: Any) -> bool:
    return False


def limit_file_pieces() -> None:
    """Send the result of a job in pieces of 1 MiB; those of FLARE have 5.

    A piece is a message, and a message of several MiB is refused where `streaming_max_blob_size` is that of
    a server's kit. FLARE's commands take it from any kit below the folder in which they are started, a POC's
    for example, so a user there could download no result of more than 4 MiB.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    require_known(file_downloader.FileDownloadable)
    file_downloader.DEFAULT_CHUNK_SIZE = FILE_PIECE_BYTES
