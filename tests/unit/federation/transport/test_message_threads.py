"""As many updates at once as there are sites, each of which waits for messages of its own."""

from threading import Barrier

import pytest
from nvflare.fuel.f3.streaming import stream_utils

from consilium.federation.transport import message_threads
from consilium.federation.transport.message_threads import serve_at_once

SITES = 150


@pytest.fixture
def pool(monkeypatch):
    """A pool of the size that FLARE's is, in its place."""
    pool = stream_utils.CheckedExecutor(stream_utils.CALLBACK_THREAD_POOL_SIZE, "test")
    monkeypatch.setattr(message_threads, "callback_thread_pool", pool)
    yield pool
    pool.shutdown()


def test_an_update_s_pieces_come_through_while_all_sites_send_theirs(pool):
    all_at_once = Barrier(SITES)

    def update():
        all_at_once.wait(timeout=60)
        return pool.submit(lambda: "a piece").result(timeout=60)

    serve_at_once(SITES)
    assert [one.result(timeout=60) for one in [pool.submit(update) for _ in range(SITES)]] == [
        "a piece"
    ] * SITES


def test_fewer_sites_in_a_later_task_take_no_thread_away(pool):
    serve_at_once(SITES)
    serve_at_once(2)
    assert pool._max_workers == stream_utils.CALLBACK_THREAD_POOL_SIZE + SITES
