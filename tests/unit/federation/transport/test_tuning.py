"""Limits and adjustments of FLARE's transport in every kind of job."""

import subprocess
import sys
from threading import Barrier

import numpy as np
import pytest
from nvflare.fuel.f3.cellnet.defs import CellChannel
from nvflare.fuel.f3.streaming import stream_utils

from consilium.errors import ConfigurationError
from consilium.federation.transport import tuning
from consilium.federation.transport.array_pieces import ArrayPieces, PieceCollector
from consilium.federation.transport.set_up import limit_job_messages, receive_on_disk
from consilium.federation.transport.tuning import LARGEST_MESSAGE, grow_callback_pool, limit_messages
from federation.flare import Engine

SITES = 150

SCRIPT = """
from pathlib import Path
from sys import argv

from nvflare.fuel.f3.streaming.download_service import ProduceRC
from nvflare.fuel.f3.streaming.file_downloader import FileDownloadable

from consilium.federation.transport.set_up import set_up_server_process
from consilium.provisioning.communication import communication

content = bytes(range(256)) * 40_000  # 10 MB
file = Path(argv[1])
file.write_bytes(content)
largest = communication("server")["streaming_max_blob_size"]

def pieces():
    offered, state = FileDownloadable(str(file)), {}
    while True:
        code, piece, state = offered.produce(state, "user")
        if code != ProduceRC.OK:
            return
        yield piece

assert max(map(len, pieces())) > largest, "FLARE's own pieces fit by now"
set_up_server_process()
taken = list(pieces())
assert b"".join(taken) == content
assert 2 * max(map(len, taken)) < largest
"""


def handlers(engine):
    channels = (CellChannel.SERVER_COMMAND, CellChannel.AUX_COMMUNICATION, CellChannel.RETURN_ONLY)
    return [engine.receivers.find(channel, "*").cb.__self__ for channel in channels]


def test_flare_rejects_larger_messages_before_it_makes_room_for_them(tmp_path):
    engine = Engine(tmp_path)
    limit_job_messages(engine, tmp_path)
    assert [handler.max_blob_size for handler in handlers(engine)] == [LARGEST_MESSAGE] * 3


def test_a_flare_that_receives_in_another_way_is_rejected(tmp_path):
    engine = Engine(tmp_path)
    engine.receivers.reg.clear()
    with pytest.raises(ConfigurationError, match="size can't be limited"):
        limit_messages(engine.server.command_agent.cell)


def test_no_array_is_let_in_unless_the_job_expects_some(tmp_path):
    engine = Engine(tmp_path)
    limit_job_messages(engine, tmp_path)
    most = engine.fobs_context["consilium_arrivals_most_bytes"]
    collector = PieceCollector(lambda length: pytest.fail("room was made"), most)
    _, data, state = ArrayPieces({"w": np.ones(2)}, 100).produce(None, "north")
    with pytest.raises(ValueError, match="bytes are announced, and 0 allowed"):
        collector.consume("ref", state, data)
    receive_on_disk(engine, tmp_path, 1000)
    assert engine.fobs_context["consilium_arrivals_most_bytes"] == 1000


@pytest.fixture
def pool(monkeypatch):
    """A pool of the size that FLARE's is, in its place."""
    pool = stream_utils.CheckedExecutor(stream_utils.CALLBACK_THREAD_POOL_SIZE, "test")
    monkeypatch.setattr(tuning, "callback_thread_pool", pool)
    yield pool
    pool.shutdown()


def test_an_update_s_pieces_come_through_while_all_sites_send_theirs(pool):
    all_at_once = Barrier(SITES)

    def update():
        all_at_once.wait(timeout=60)
        return pool.submit(lambda: "a piece").result(timeout=60)

    grow_callback_pool(SITES)
    assert [one.result(timeout=60) for one in [pool.submit(update) for _ in range(SITES)]] == [
        "a piece"
    ] * SITES


def test_fewer_sites_in_a_later_task_take_no_thread_away(pool):
    grow_callback_pool(SITES)
    grow_callback_pool(2)
    assert pool._max_workers == stream_utils.CALLBACK_THREAD_POOL_SIZE + SITES


def test_a_result_of_any_size_comes_in_messages_that_a_server_s_kit_allows(tmp_path):
    """In a process of its own, in which nothing is replaced yet."""
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / "workspace.zip")], check=True)
