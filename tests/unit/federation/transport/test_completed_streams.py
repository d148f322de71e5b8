"""What is left of messages that were sent and received: FLARE's own classes, with no line between them."""

import gc
import threading
import weakref
from types import SimpleNamespace

import pytest
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey
from nvflare.fuel.f3.message import Message
from nvflare.fuel.f3.streaming import byte_receiver
from nvflare.fuel.f3.streaming.blob_streamer import BlobStream
from nvflare.fuel.f3.streaming.byte_receiver import RxTask
from nvflare.fuel.f3.streaming.byte_streamer import TxTask
from nvflare.fuel.f3.streaming.stream_const import StreamDataType, StreamHeaderKey

from consilium.federation.transport import incoming_streams
from consilium.federation.transport.incoming_streams import IncomingStream
from consilium.federation.transport.outgoing_streams import OutgoingStream

SECONDS = 100.0


class Cell:
    """Writes down what is sent."""

    def __init__(self):
        self.my_info = SimpleNamespace(fqcn="server.job")
        self.sent = []

    def fire_and_forget(self, channel, topic, target, message, **_):
        self.sent.append((topic, target, message))
        return {}


@pytest.fixture
def clock(monkeypatch):
    """The time that streams are remembered by, to be put forward."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(byte_receiver, "RxTask", IncomingStream)
    monkeypatch.setattr(incoming_streams, "time", SimpleNamespace(monotonic=lambda: clock.now))
    yield clock
    for key in [key for key in RxTask.rx_task_map if key[0] == "north"]:
        del RxTask.rx_task_map[key]
    IncomingStream._due.clear()


def only_frame(sid):
    headers = {
        StreamHeaderKey.STREAM_ID: sid,
        MessageHeaderKey.ORIGIN: "north",
        StreamHeaderKey.RELIABLE: True,
        StreamHeaderKey.SEQUENCE: 0,
        StreamHeaderKey.DATA_TYPE: StreamDataType.FINAL,
        StreamHeaderKey.SIZE: 3,
    }
    return Message(headers, b"abc")


def receive(cell, sid):
    task = IncomingStream.find_or_create_task(only_frame(sid), cell)
    task.completed_task_ttl = SECONDS
    assert task.process_chunk(only_frame(sid))
    assert task.read(10) == b"abc"
    return task


def test_ended_streams_take_no_threads_and_are_forgotten_when_another_ends(clock):
    cell, threads = Cell(), threading.active_count()
    for sid in range(50):
        receive(cell, sid)
    assert threading.active_count() == threads
    assert {sid for origin, sid in RxTask.rx_task_map if origin == "north"} == set(range(50))
    clock.now += SECONDS
    receive(cell, 50)
    assert {sid for origin, sid in RxTask.rx_task_map if origin == "north"} == {50}


def test_nothing_that_came_with_an_ended_stream_is_kept(clock):
    gone = weakref.ref(receive(Cell(), 7))
    gc.collect()
    assert gone() is None


def test_the_end_of_a_stream_that_comes_once_more_is_confirmed_once_more(clock):
    cell = Cell()
    receive(cell, 7)
    first = [message.headers for _, _, message in cell.sent]
    again = IncomingStream.find_or_create_task(only_frame(7), cell)
    assert not again.process_chunk(only_frame(7))
    (_, target, confirmed) = cell.sent[len(first)]
    assert target == "north"
    assert confirmed.headers == first[-1]


def test_a_stream_that_failed_is_kept_as_it_is(clock):
    task = IncomingStream.find_or_create_task(only_frame(7), Cell())
    task.stop(RuntimeError("no room"))
    assert RxTask.rx_task_map["north", 7] is task


def send(content, chunk=1000):
    cell = Cell()
    stream = BlobStream(content, {})
    task = OutgoingStream(cell, chunk, "channel", "topic", "north", {}, stream, True, False, False)
    before = len(task.buffer)
    task.send_loop()
    return task, before, [bytes(message.payload) for _, _, message in cell.sent]


@pytest.mark.parametrize("length", [1, 10, 999, 1000, 1001, 2500])
def test_every_message_is_sent_whole(length):
    content = bytes(range(256)) * 10
    task, _, frames = send(content[:length])
    assert b"".join(frames) == content[:length]
    task.stop(RuntimeError("over"), notify=False)


def test_a_message_on_its_way_holds_a_buffer_of_its_length_and_afterwards_only_what_may_be_sent_again():
    task, before, frames = send(b"x" * 10)
    assert before == 10
    assert (len(task.buffer), task.stream) == (0, None)
    assert [bytes(message.payload) for *_, message in task.pending_messages.values()] == frames
    task.stop(RuntimeError("over"), notify=False)


def test_flare_s_own_would_hold_the_whole_buffer():
    task = TxTask(Cell(), 1000, "channel", "topic", "north", {}, BlobStream(b"x", {}), True, False, False)
    assert len(task.buffer) == 1000
    task.stop(RuntimeError("over"), notify=False)
