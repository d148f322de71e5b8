"""What a job's processes change in FLARE's transport, at both ends and at the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from consilium.federation.transport.array_pieces import keep_arrivals_on_disk, send_arrays_in_pieces
from consilium.federation.transport.broken_uploads import survive_broken_uploads
from consilium.federation.transport.ended_streams import remember_little_of_ended_streams
from consilium.federation.transport.outgoing_streams import hold_little_of_what_is_sent

_ARRIVALS = "arrivals"


def set_up_both_ends() -> None:
    """Do what server and sites have to do alike, before the first model is sent.

    Raises:
        ConfigurationError: If FLARE isn't 2.9.
    """
    send_arrays_in_pieces()
    hold_little_of_what_is_sent()
    remember_little_of_ended_streams()


def set_up_server() -> None:
    """Do what a job's process at the server does.

    Raises:
        ConfigurationError: If FLARE isn't 2.9.
    """
    set_up_both_ends()
    survive_broken_uploads()


def receive_on_disk(engine: Any, run_folder: Path, most_bytes: int) -> None:
    """Let a job's process at the server keep what comes in on its disk.

    Args:
        engine: FLARE's, of that process.
        run_folder: The job's.
        most_bytes: That the arrays of one update may have.
    """
    keep_arrivals_on_disk(engine.get_cell(), run_folder / _ARRIVALS, most_bytes)
