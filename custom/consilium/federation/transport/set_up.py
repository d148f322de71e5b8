"""What a job's processes change in FLARE's transport, at both ends and at the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nvflare.fuel.f3.cellnet.cell import Cell

from consilium.federation.transport.array_pieces import (
    install_array_transfer,
    limit_transfers,
    spool_arrivals,
)
from consilium.federation.transport.incoming_streams import free_completed_streams
from consilium.federation.transport.message_checks import install_message_checks
from consilium.federation.transport.outgoing_streams import release_send_buffers
from consilium.federation.transport.transfer_slots import TransferSlots
from consilium.federation.transport.tuning import limit_file_pieces, limit_messages, tolerate_broken_uploads

_ARRIVALS = "arrivals"

_AT_ONCE = 4
"""Sites that fetch a model or send an update at a time."""

_PATIENCE_SECONDS = 30.0
"""How long a site waits for its turn at most. Both ends wait longer than that: for a piece 120 s, and for the
first request for what they offer 300 s."""


def set_up_peer() -> None:
    """Do what server and sites have to do alike, before the first model is sent.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    install_array_transfer()
    release_send_buffers()
    free_completed_streams()


def set_up_server_process() -> None:
    """Do what each of the server's processes does before it is connected to anything, whatever its work.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    install_message_checks()
    tolerate_broken_uploads()
    limit_file_pieces()
    free_completed_streams()


def set_up_server() -> TransferSlots:
    """Do what a job's process at the server does; returns the turns that its sites take.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    set_up_peer()
    tolerate_broken_uploads()
    slots = TransferSlots(_AT_ONCE, _PATIENCE_SECONDS)
    limit_transfers(slots)
    return slots


def limit_job_messages(engine: Any, run_folder: Path) -> None:
    """Let a job's process at the server look at messages, and at their size, before FLARE takes them.

    No message may bring arrays, unless `receive_on_disk` says later how many bytes of them there may be.

    Args:
        engine: FLARE's, of that process.
        run_folder: The job's.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    set_up_server_process()  # in FLARE's simulator no guard has
    limit_messages(_job_cell(engine))
    receive_on_disk(engine, run_folder, most_bytes=0)


def receive_on_disk(engine: Any, run_folder: Path, most_bytes: int) -> None:
    """Let a job's process at the server keep what comes in on its disk.

    Args:
        engine: FLARE's, of that process.
        run_folder: The job's.
        most_bytes: That the arrays of one update may have.
    """
    spool_arrivals(_job_cell(engine), run_folder / _ARRIVALS, most_bytes)


def _job_cell(engine: Any) -> Cell:
    """Return the cell that takes the job's answers; in FLARE's simulator it is not the engine's own."""
    return engine.server.command_agent.cell
