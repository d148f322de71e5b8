"""Whether what a process hears about a stream that it sends comes from the one that it sends it to.

The receiver of a stream acknowledges what has come, or reports an error, which ends the stream; a process
that had to pass it on and could not reports that as well. FLARE 2.9 takes each such message for the stream
whose number it names, whoever sent it, and numbers a process's streams one after the other. So a hospital
could end the streams to all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey
from nvflare.fuel.f3.streaming.byte_streamer import ByteStreamer
from nvflare.fuel.f3.streaming.stream_const import STREAM_ERROR_TOPIC, StreamHeaderKey

from consilium.guard.message_rules import is_stream_report
from consilium.guard.parties import Kind, parse_party


def report_fault(headers: Mapping[str, Any]) -> str | None:
    """Return why a report about a stream of this process is refused; None if it may be taken.

    Args:
        headers: Of a message to this process, by FLARE's names.
    """
    if not is_stream_report(headers):
        return None
    number = headers.get(StreamHeaderKey.STREAM_ID)
    with ByteStreamer.map_lock:
        stream = ByteStreamer.tx_task_map.get(number) or ByteStreamer.error_context_map.get(number)
    if stream is None:
        return None  # FLARE ignores it, too
    origin, target = parse_party(headers.get(MessageHeaderKey.ORIGIN)), parse_party(stream.target)
    if origin is None or target is None:
        return "it is about a stream to nobody"
    if origin == target:
        return None
    passes_on = origin.kind is Kind.SERVER or (origin.kind is Kind.SITE and origin.root == target.root)
    if headers.get(MessageHeaderKey.TOPIC) == STREAM_ERROR_TOPIC and passes_on:
        return None
    return "it is about a stream that goes to another"
