"""Rules by which a process accepts a message: origin, neighbor and content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from nvflare.apis.fl_constant import CellMessageAuthHeaderKey
from nvflare.fuel.f3.cellnet.defs import CellChannel, CellChannelTopic, MessageHeaderKey, MessageType
from nvflare.fuel.f3.streaming.byte_streamer import ByteStreamer
from nvflare.fuel.f3.streaming.stream_const import (
    STREAM_ACK_TOPIC,
    STREAM_CHANNEL,
    STREAM_DATA_TOPIC,
    STREAM_ERROR_TOPIC,
    StreamHeaderKey,
)
from nvflare.private.defs import CellMessageHeaderKeys, ClientType

from consilium.guard.message_table import MESSAGES, NOT_PASSED_ON, STREAMING, Topics
from consilium.guard.parties import Kind, Party, parse_party

_PASSED_ON: Final = frozenset({(Kind.SITE_JOB, Kind.SERVER_JOB), (Kind.SERVER_JOB, Kind.SITE_JOB)})
"""Sender and receiver of the messages that another process passes on. Nothing goes from site to site."""

_REGISTER: Final = (CellChannel.SERVER_MAIN, CellChannelTopic.Register)
_IS: Final = {Kind.SITE: ClientType.REGULAR, Kind.USER: ClientType.ADMIN}
_OF_SITES: Final = (Kind.SITE, Kind.SITE_JOB, Kind.TRANSFER)
_REPORTS: Final = frozenset({STREAM_ACK_TOPIC, STREAM_ERROR_TOPIC})


@dataclass(frozen=True)
class MessageRules:
    """Rules of one process for every message that it receives or forwards.

    A neighbor is the process at the other end of the connection. Its name can be believed: a connection over
    the network proves it by its certificate, one on this machine by a secret (`consilium.guard.loopback`).
    What a message says of its origin can't, so it must be one for which the neighbor may speak.

    Attributes:
        own_name: The process's fully qualified cell name.
        table: What is accepted, as in `consilium.guard.message_table`.
    """

    own_name: str
    table: Mapping[tuple[Kind, Kind], Topics] = field(default_factory=lambda: MESSAGES)

    def fault(self, neighbor: str | None, headers: Mapping[str, Any]) -> str | None:
        """Return why a message is rejected; None if it is accepted.

        Args:
            neighbor: Name of the process that delivers it; None or the own one if it is this one.
            headers: The message's, by FLARE's names.
        """
        me = parse_party(self.own_name)
        origin = parse_party(headers.get(MessageHeaderKey.ORIGIN))
        destination = parse_party(headers.get(MessageHeaderKey.DESTINATION))
        if neighbor is None or neighbor == self.own_name:
            return None if origin == me else "its origin is another process than the one that sends it"
        beside = parse_party(neighbor)
        if me is None or origin is None or destination is None or beside is None:
            return "its origin, its destination or the process that delivers it is nobody's here"
        if any(
            party.kind is Kind.TRANSFER and party.root != me.root for party in (origin, destination, beside)
        ):
            return "it is of a job that fetches its files from its parent, and this is another's"
        is_report = headers.get(MessageHeaderKey.TOPIC) == STREAM_ERROR_TOPIC and is_stream_report(headers)
        if not _may_speak_for(me, beside, origin, is_report=is_report):
            return "the process that delivers it can't speak for its origin"
        session_of = headers.get(CellMessageAuthHeaderKey.CLIENT_NAME, beside.root)
        if me.kind is Kind.SERVER and beside.kind in _OF_SITES and session_of != beside.root:
            return "its session is another site's"
        if destination != me and not _may_pass_on(me, origin, destination, is_report=is_report):
            return "it would have to be passed on from one party to another that has no part in its work"
        if is_report and (destination.kind, origin.kind) in NOT_PASSED_ON:
            return None  # `stream_report_fault` looks at which stream it is about
        return self._content_fault(origin, destination, headers)

    def _content_fault(self, origin: Party, destination: Party, headers: Mapping[str, Any]) -> str | None:
        """Return what is wrong with a message between two processes that may be connected."""
        topics = self.table.get((destination.kind, origin.kind), {})
        answers = self.table.get((origin.kind, destination.kind), {})
        if not topics and not answers:
            return "these two exchange nothing"
        if destination.job != origin.job and None not in (destination.job, origin.job):
            return "it is of another job"
        kind = headers.get(MessageHeaderKey.MSG_TYPE)
        if kind in (MessageType.REPLY, MessageType.RETURN):
            return None  # the guarded cell drops what answers no request of its own
        if kind != MessageType.REQ:
            return "it is neither a request nor an answer"
        channel, topic = headers.get(MessageHeaderKey.CHANNEL), headers.get(MessageHeaderKey.TOPIC)
        if channel == STREAM_CHANNEL:
            if frozenset({origin.kind, destination.kind}) not in STREAMING:
                return "these two send each other no streams"
            if topic in _REPORTS:
                return None
            if topic != STREAM_DATA_TOPIC:
                return "no such message of a stream is known"
            channel, topic = headers.get(StreamHeaderKey.CHANNEL), headers.get(StreamHeaderKey.TOPIC)
            if channel == CellChannel.RETURN_ONLY:
                return None
        if not (isinstance(channel, str) and isinstance(topic, str) and topic in topics.get(channel, ())):
            return "its receiver accepts no such message of its sender"
        if (channel, topic) == _REGISTER and headers.get(CellMessageHeaderKeys.CLIENT_TYPE) != _IS[
            origin.kind
        ]:
            return "it would register as what it is not: a user as a site, or a site as a user or a relay"
        return None


def is_stream_report(headers: Mapping[str, Any]) -> bool:
    """Return whether a message reports that a stream was acknowledged or failed."""
    return (
        headers.get(MessageHeaderKey.MSG_TYPE) == MessageType.REQ
        and headers.get(MessageHeaderKey.CHANNEL) == STREAM_CHANNEL
        and headers.get(MessageHeaderKey.TOPIC) in _REPORTS
    )


def stream_report_fault(headers: Mapping[str, Any]) -> str | None:
    """Return why a report about a stream of this process is rejected; None if it is accepted.

    The receiver of a stream acknowledges what has arrived, or reports an error, which ends the stream; a
    process that could not pass it on reports that as well. FLARE 2.9 applies each such message to the stream
    whose number it names, whatever its sender, and numbers a process's streams consecutively, so a hospital
    could end the streams to all others.

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


def _may_speak_for(me: Party, neighbor: Party, origin: Party, *, is_report: bool) -> bool:
    """Return whether a neighbor may deliver messages of an origin to a process."""
    if me.kind is Kind.SERVER:
        # A hospital's parent process may pass on what its jobs send; no one else may send for another.
        return origin == neighbor or (neighbor.kind is Kind.SITE and origin.root == neighbor.root)
    if me.kind is Kind.SERVER_JOB:
        return neighbor.kind is Kind.SERVER  # its only connection; the server has looked already
    if neighbor.kind is Kind.SERVER:
        return origin.kind in (Kind.SERVER, Kind.SERVER_JOB)
    if neighbor.root != me.root:
        return False
    if me.kind is Kind.SITE:
        return neighbor.kind in (Kind.SITE_JOB, Kind.TRANSFER) and origin == neighbor
    # A job's process and the parent process of its own hospital, which may pass on what the server sends.
    return neighbor.kind is Kind.SITE and (
        origin == neighbor or origin.kind is Kind.SERVER_JOB or (is_report and origin.kind is Kind.SERVER)
    )


def _may_pass_on(me: Party, origin: Party, destination: Party, *, is_report: bool) -> bool:
    """Return whether a parent process may pass a message on: from or to one of its own jobs."""
    if me.kind not in (Kind.SERVER, Kind.SITE):
        return False
    if is_report and (destination.kind, origin.kind) in NOT_PASSED_ON:
        return destination.root == me.root
    if (origin.kind, destination.kind) not in _PASSED_ON:
        return False
    return origin.job == destination.job and me.root in (origin.root, destination.root)
