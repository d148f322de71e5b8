"""Limits for what one site has under way, with FLARE's own receiver and no line."""

from types import SimpleNamespace

import pytest
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey
from nvflare.fuel.f3.message import Message
from nvflare.fuel.f3.streaming import byte_receiver
from nvflare.fuel.f3.streaming.byte_receiver import RxTask
from nvflare.fuel.f3.streaming.stream_const import STREAM_ERROR_TOPIC, StreamDataType, StreamHeaderKey

from consilium.federation.transport import incoming_streams
from consilium.federation.transport.incoming_streams import (
    OUT_OF_ORDER_BYTES,
    STALLED_SECONDS,
    STREAMS_PER_SITE,
    IncomingStream,
    OpenStreams,
)

KIB = 1024


class Process:
    """The receiving end, which takes frames and records the errors that it sends."""

    def __init__(self, fqcn="server.job"):
        self.my_info = SimpleNamespace(fqcn=fqcn)
        self.rejected = []

    def fire_and_forget(self, channel, topic, target, message, **_):
        if topic == STREAM_ERROR_TOPIC:
            self.rejected.append((target, message.get_header(StreamHeaderKey.STREAM_ID)))
        return {}

    def take(self, origin, sid, seq=0, payload=b"x", final=False, reliable=True):
        headers = {
            StreamHeaderKey.STREAM_ID: sid,
            MessageHeaderKey.ORIGIN: origin,
            StreamHeaderKey.RELIABLE: reliable,
            StreamHeaderKey.SEQUENCE: seq,
            StreamHeaderKey.DATA_TYPE: StreamDataType.FINAL if final else StreamDataType.CHUNK,
            StreamHeaderKey.SIZE: 0,
        }
        message = Message(headers, payload)
        task = byte_receiver.RxTask.find_or_create_task(message, self)
        if task:
            task.process_chunk(message)
        return task or RxTask.rx_task_map[origin, sid]


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    time = SimpleNamespace(monotonic=lambda: clock.now)
    monkeypatch.setattr(byte_receiver, "RxTask", IncomingStream)
    monkeypatch.setattr(IncomingStream, "streams", OpenStreams())
    monkeypatch.setattr(incoming_streams, "time", time)
    before = dict(RxTask.rx_task_map)
    yield clock
    RxTask.rx_task_map.clear()
    RxTask.rx_task_map.update(before)
    IncomingStream._due.clear()


def fill(process, origin="north.job", **options):
    return [process.take(origin, sid, **options) for sid in range(STREAMS_PER_SITE)]


@pytest.mark.parametrize("origin", ["north", "north.job", "north.other"])
def test_one_site_has_so_many_unfinished_streams_and_no_more(clock, origin):
    process = Process()
    assert not any(task.failed for task in fill(process))
    assert process.take(origin, 100).failed
    assert process.rejected == [(origin, 100)]


def test_other_sites_and_messages_of_one_frame_come_through(clock):
    process = Process()
    fill(process)
    assert not process.take("south.job", 1).failed
    one = process.take("north.job", 101, final=True)
    assert one.completed
    assert one.read(10) == b"x"
    assert process.rejected == []


@pytest.mark.parametrize("reliable", [True, False])
@pytest.mark.parametrize("end", ["final", "error", "read timeout"])
def test_a_stream_that_ends_leaves_its_place(clock, end, reliable):
    process = Process()
    first, *_ = fill(process, reliable=reliable)
    if end == "final":
        process.take("north.job", 0, seq=1, final=True, reliable=reliable)
    elif end == "error":
        first.stop(RuntimeError("no room"))
    else:
        assert first.read(10) == b"x"
        first.timeout = 0.01
        with pytest.raises(byte_receiver.StreamError, match="timed out"):
            first.read(10)
    assert IncomingStream.streams.count("north") == STREAMS_PER_SITE - 1
    assert not process.take("north.job", 100).failed


def test_a_rejected_stream_keeps_nothing_and_is_soon_forgotten(clock):
    process = Process()
    fill(process)
    rejected = process.take("north", 100, payload=bytes(KIB))
    assert not rejected.chunks
    clock.now += 6
    process.take("south", 1, final=True)
    assert ("north", 100) not in RxTask.rx_task_map


def test_bytes_out_of_order_are_limited(clock):
    process, chunk = Process(), bytes(128 * KIB)
    most = OUT_OF_ORDER_BYTES // len(chunk)
    # FLARE limits the number of chunks as well, by what the sender says of itself.
    task = process.take("north", 1, seq=1, payload=chunk)
    task.max_out_seq = 10**6
    for seq in range(2, most + 1):
        process.take("north", 1, seq=seq, payload=chunk)
    assert not task.failed
    process.take("north", 1, seq=most + 1)
    assert task.failed
    assert not task.out_seq_chunks
    assert IncomingStream.streams.count("north") == 0


def test_a_message_of_one_frame_has_no_more_chunks(clock, monkeypatch):
    process = Process()
    monkeypatch.setattr(IncomingStream, "process_chunk", lambda *_: False)
    task = process.take("north", 1, final=True)  # another thread has not come to its only chunk yet
    monkeypatch.undo()
    task._handle_incoming_data(0, Message({StreamHeaderKey.DATA_TYPE: StreamDataType.CHUNK}, b"x"))
    _, _, error = task._handle_incoming_data(7, Message({}, b"x"))
    assert "out of order" in str(error)


def test_a_stream_whose_first_chunk_never_comes_is_dropped_when_another_begins(clock):
    process = Process()
    task = process.take("north", 1, seq=1)
    clock.now += task.timeout - 1
    process.take("south", 1)
    assert not task.failed
    clock.now += 1
    process.take("south", 2)
    assert task.failed
    assert not task.out_seq_chunks


def test_stalled_streams_make_room_for_new_ones_of_their_site(clock):
    process = Process()
    first, second, *others = fill(process)
    clock.now += STALLED_SECONDS
    process.take("south", 1)
    assert not first.failed
    process.take("north.job", 1, seq=1)
    assert not process.take("north.job", 100).failed
    assert first.failed
    assert not second.failed
    assert all(task.failed for task in others)


def test_a_reordered_stream_comes_whole(clock):
    process, count = Process(), 9  # all that the kits have under way
    pieces = [bytes([seq]) * 128 * KIB for seq in range(count)]
    for seq in reversed(range(count)):
        task = process.take("north", 1, seq=seq, payload=pieces[seq], final=seq == count - 1)
    assert task.completed
    assert b"".join(task.read(10**9) for _ in range(count)) == b"".join(pieces)
    assert IncomingStream.streams.count("north") == 0


@pytest.mark.parametrize(
    ("receiver", "origin"), [("north.job", "server.job"), ("north.job", "north"), ("server", "server.job")]
)
def test_the_server_and_one_s_own_processes_are_not_limited(clock, receiver, origin):
    process = Process(receiver)
    fill(process, origin)
    assert not process.take(origin, 100).failed
    assert not process.take(origin, 101, seq=1, payload=bytes(OUT_OF_ORDER_BYTES + 1)).failed
