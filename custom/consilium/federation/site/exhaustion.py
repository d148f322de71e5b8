"""Whether a process that ran short of something can still say so."""

from __future__ import annotations

from threading import Event, Thread

_THREADS = 4
"""FLARE takes one for each message on its way, and for its answer."""


def can_start_threads(number: int = _THREADS) -> bool:
    """Return whether this process can start so many threads at once.

    One without room for a thread's stack can't send any message: FLARE tries again every five seconds, for as
    long as the task is wanted, and the others wait for it.
    """
    done = Event()
    started: list[Thread] = []
    try:
        for _ in range(number):
            thread = Thread(target=done.wait, daemon=True)
            thread.start()
            started.append(thread)
    except (RuntimeError, MemoryError):  # "can't start new thread"
        return False
    finally:
        done.set()
        for thread in started:
            thread.join()
    return True
