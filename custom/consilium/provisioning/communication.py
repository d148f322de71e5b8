"""Communication settings for slow or unreliable connections, and for many sites.

FLARE sends what is large in pieces of 1 MiB, up to 64 of them before the other side has to confirm any, and
sends a piece again that is not confirmed within 5 s. A line of 1 Mbit/s takes 8 s for one piece: each goes
over it several times, and the copies delay all that comes after. FLARE also takes a transfer for lost 60 s
after the first repetition, so a line that is cut for a minute costs the whole request.

Here pieces are small, and few are under way at a time: a line has to carry what is under way, 1.125 MiB,
within the time after which it is sent again, so 0.32 Mbit/s are enough. What is under way limits a fast line
to as much in each of its round trips: 94 Mbit/s at 100 ms, 0.9 Gbit/s at 10 ms. Models and updates are asked
for piece by piece (`federation/transport/`), which limits them to one of 120 KiB: 9.8 and 98 Mbit/s.

A server of FLARE's serves 100 connections and lets the others wait, so neither the hundred and first comes
through nor a user who logs in. A hospital has two while a job runs.
"""

from __future__ import annotations

from typing import Any, Final

from nvflare.fuel.f3.drivers.grpc_driver import GRPC_DEFAULT_OPTIONS

from consilium.guard.parties import SiteKind

COMM_CONFIG: Final = "comm_config.json"
"""File in a kit's `local/` from which FLARE reads how its processes talk."""

_KIB = 1024
_PIECE_BYTES = 128 * _KIB
_UNDER_WAY_BYTES = 8 * _PIECE_BYTES
_REPEAT_SECONDS = 30.0
_LOST_SECONDS = 300

_LARGEST_MESSAGE = 64 * 1024 * _KIB
"""Bytes that the server takes at a time from any sender, before it knows what they are: models and updates
come in pieces, and a submitted job may have 1 MiB."""

_LARGEST_STREAM = 4 * 1024 * _KIB
"""Bytes of a message that comes in several pieces, which FLARE makes room for before it has them. Files and
arrays aren't such messages."""

_CONNECTIONS = 1000
"""Each takes a thread of the server's for as long as it lasts."""


def communication(kind: SiteKind) -> dict[str, Any]:
    """Return what `comm_config.json` of a site says, by the names of FLARE 2.9 (`fuel/f3/comm_config.py`)."""
    settings: dict[str, Any] = {
        "allow_adhoc_conns": False,
        "backbone_conn_gen": 2,
        "streaming_chunk_size": _PIECE_BYTES,
        "streaming_window_size": _UNDER_WAY_BYTES,
        "streaming_ack_interval": _PIECE_BYTES,
        "streaming_retry_wait": _REPEAT_SECONDS,
        "streaming_retry_timeout": float(_LOST_SECONDS),
        "streaming_ack_progress_timeout": float(_LOST_SECONDS),
        "streaming_ack_wait": _LOST_SECONDS,
    }
    if kind == "server":
        # These take the place of all that FLARE has by itself, which allows messages of 2 GiB.
        options = dict(GRPC_DEFAULT_OPTIONS) | {"grpc.max_receive_message_length": _LARGEST_MESSAGE}
        settings["streaming_max_blob_size"] = _LARGEST_STREAM
        settings["grpc"] = {"max_workers": _CONNECTIONS, "options": list(map(list, options.items()))}
    return settings
