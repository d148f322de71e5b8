"""Set-up of FLARE's transport in a job's processes, at the sites and at the server."""

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
"""Concurrent transfers of models and updates."""

_PATIENCE_SECONDS = 30.0
"""Longest wait for a slot; both ends wait longer: 120 s for a piece, 300 s for the first request."""


def set_up_peer() -> None:
    """Set up a site or the server before the first model is sent.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    install_array_transfer()
    release_send_buffers()
    free_completed_streams()


def set_up_server_process() -> None:
    """Set up any process of the server before it connects.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    install_message_checks()
    tolerate_broken_uploads()
    limit_file_pieces()
    free_completed_streams()


def set_up_server() -> TransferSlots:
    """Set up a job's process at the server; returns the slots that its sites share.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    set_up_peer()
    tolerate_broken_uploads()
    slots = TransferSlots(_AT_ONCE, _PATIENCE_SECONDS)
    limit_transfers(slots)
    return slots


def limit_job_messages(engine: Any, run_folder: Path) -> None:
    """Check form, sender and size of the messages to a job's process at the server.

    Messages may bring no arrays until `receive_on_disk` sets a limit for them.

    Args:
        engine: FLARE's, of that process.
        run_folder: The job's.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    set_up_server_process()  # in the simulator no guard has done so
    limit_messages(_job_cell(engine))
    receive_on_disk(engine, run_folder, most_bytes=0)


def receive_on_disk(engine: Any, run_folder: Path, most_bytes: int) -> None:
    """Receive arrays on disk in a job's process at the server.

    Args:
        engine: FLARE's, of that process.
        run_folder: The job's.
        most_bytes: Limit for the arrays of one update.
    """
    spool_arrivals(_job_cell(engine), run_folder / _ARRIVALS, most_bytes)


def _job_cell(engine: Any) -> Cell:
    """Return the cell that receives the job's answers; in FLARE's simulator it is not the engine's own."""
    return engine.server.command_agent.cell
