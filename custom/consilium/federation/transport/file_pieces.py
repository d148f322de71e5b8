"""Files leave the server in pieces that whoever downloads them takes."""

from __future__ import annotations

from typing import Final

from nvflare.fuel.f3.streaming import file_downloader

from consilium.federation.replacement import require_known

FILE_PIECE_BYTES: Final = 1024 * 1024


def send_files_in_pieces() -> None:
    """Send the result of a job in pieces of 1 MiB; those of FLARE have 5.

    A piece is a message, and a message of several MiB is refused where `streaming_max_blob_size` is that of
    a server's kit. FLARE's commands take it from any kit below the folder in which they are started, a POC's
    for example, so a user there could download no result of more than 4 MiB.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    require_known(file_downloader.FileDownloadable)
    file_downloader.DEFAULT_CHUNK_SIZE = FILE_PIECE_BYTES
