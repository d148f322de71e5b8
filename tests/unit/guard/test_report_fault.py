import pytest
from nvflare.fuel.f3.cellnet.core_cell import CoreCell
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey, MessageType
from nvflare.fuel.f3.endpoint import Endpoint
from nvflare.fuel.f3.message import Message
from nvflare.fuel.f3.stats_pool import StatsPoolManager
from nvflare.fuel.f3.streaming.byte_streamer import ByteStreamer
from nvflare.fuel.f3.streaming.stream_const import StreamHeaderKey

from consilium.guard import guarded_cell
from consilium.guard.guarded_cell import GuardedCell

JOB = "1c5a0f6e-9a3b-4d52-8f1e-0d6c2f6b7a11"
TARGET = f"north.{JOB}"
CHANNEL, TOPIC = "aux_communication", "__end_run__"


class Outgoing:
    """A stream that the process sends."""

    cell = None
    channel, topic, headers = CHANNEL, TOPIC, {}
    target = TARGET
    sid = 42


@pytest.fixture
def process(monkeypatch):
    """A job's process at the server, and what is refused there."""
    monkeypatch.setattr(CoreCell, "ALL_CELLS", {})
    monkeypatch.setattr(StatsPoolManager, "pools", {})
    cell = GuardedCell(f"server.{JOB}", "tcp://127.0.0.1:9", secure=False, credentials={})
    cell.taken, cell.refused = [], []
    monkeypatch.setattr(CoreCell, "process_message", lambda self, *row: self.taken.append(row[-1]))
    monkeypatch.setattr(guarded_cell, "record_rejected_message", lambda *row: cell.refused.append(row[-1]))
    return cell


@pytest.fixture(params=["sends", "has sent"])
def stream(request, monkeypatch):
    """A stream to a hospital's job; FLARE remembers those that have just ended as well."""
    streams = "tx_task_map" if request.param == "sends" else "error_context_map"
    monkeypatch.setattr(ByteStreamer, "tx_task_map", {})
    monkeypatch.setattr(ByteStreamer, "error_context_map", {})
    monkeypatch.setitem(getattr(ByteStreamer, streams), Outgoing.sid, Outgoing)
    return Outgoing


def report(origin, topic, number=Outgoing.sid, **more):
    return Message(
        {
            MessageHeaderKey.ORIGIN: origin,
            MessageHeaderKey.DESTINATION: f"server.{JOB}",
            MessageHeaderKey.MSG_TYPE: MessageType.REQ,
            MessageHeaderKey.CHANNEL: "sm__STREAM",
            MessageHeaderKey.TOPIC: topic,
            StreamHeaderKey.STREAM_ID: number,
            StreamHeaderKey.FAILED_DESTINATION: TARGET,
            StreamHeaderKey.ERROR_MSG: "x",
            StreamHeaderKey.CHANNEL: CHANNEL,
            StreamHeaderKey.TOPIC: TOPIC,
            **more,
        }
    )


@pytest.mark.parametrize(
    ("origin", "topic"),
    [(TARGET, "sm__ACK"), (TARGET, "sm__ERROR"), ("north", "sm__ERROR"), ("server", "sm__ERROR")],
)
def test_the_receiver_of_a_stream_and_who_passes_it_on_are_heard(process, stream, origin, topic):
    process.process_message(Endpoint("server"), None, 1, report(origin, topic))
    assert (len(process.taken), process.refused) == (1, [])


@pytest.mark.parametrize("origin", [f"south.{JOB}", "south", "_admin_x", None])
@pytest.mark.parametrize("topic", ["sm__ACK", "sm__ERROR"])
def test_no_hospital_ends_or_confirms_the_stream_to_another(process, stream, origin, topic):
    process.process_message(Endpoint("server"), None, 1, report(origin, topic))
    assert (process.taken, len(process.refused)) == ([], 1)


def test_who_passes_a_stream_on_does_not_confirm_it(process, stream):
    process.process_message(Endpoint("server"), None, 1, report("north", "sm__ACK"))
    assert (process.taken, len(process.refused)) == ([], 1)


@pytest.mark.parametrize("number", [None, "42", 42.5, [42], {}, 7])
def test_a_report_about_no_stream_ends_none(process, stream, number):
    process.process_message(Endpoint("server"), None, 1, report(f"south.{JOB}", "sm__ERROR", number))
    assert process.taken == [] or number not in [Outgoing.sid]


def test_flare_takes_an_acknowledgment_of_anybody(monkeypatch):
    """The hole; if this fails, FLARE looks itself, and `stream_report_fault` may go."""
    heard = []
    task = type("Task", (), {"handle_ack": lambda self, message: heard.append(message)})()
    monkeypatch.setattr(ByteStreamer, "tx_task_map", {Outgoing.sid: task})
    ByteStreamer._ack_handler(report(f"south.{JOB}", "sm__ACK"))
    assert len(heard) == 1
