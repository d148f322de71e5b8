"""Threads for the messages of many sites at once."""

from __future__ import annotations

from nvflare.fuel.f3.streaming.stream_utils import CALLBACK_THREAD_POOL_SIZE, callback_thread_pool

from consilium.federation.replacement import require_known


def serve_at_once(sites: int) -> None:
    """Let this process take in the updates of so many sites at the same time.

    FLARE 2.9 works on at most 64 messages at once, and has no setting for it. An update keeps a thread until
    its last piece has come, and each piece is a message that takes a thread as well: as soon as 64 sites send
    at the same time, all of them wait for each other until FLARE gives the pieces up.

    Args:
        sites: How many may send at the same time.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    require_known(type(callback_thread_pool))
    # The threads are made as they are needed, and one of the pool's own attributes says how many may be.
    wanted = CALLBACK_THREAD_POOL_SIZE + sites
    callback_thread_pool._max_workers = max(callback_thread_pool._max_workers, wanted)
