"""Resources of this process: its traffic, and room for threads."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event, Thread

from nvflare.fuel.f3.stats_pool import StatsPoolManager

_MIB = 2**20

_THREADS = 4
"""FLARE takes one for each message on its way, and for its answer."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Payload bytes of all messages since the process started; without headers, TLS and TCP."""

    sent: int
    received: int


def measure_traffic() -> Traffic:
    """Add up FLARE's message size pools of this process, over all of its cells."""
    totals = {"sent_msg_sizes": 0.0, "received_msg_sizes": 0.0}
    for name, entry in StatsPoolManager.to_dict().items():
        kind = name.partition("@")[0]
        if kind in totals:
            bins = (one for category in entry["pool"]["cat_data"].values() for one in category if one)
            totals[kind] += sum(one["total"] for one in bins)
    return Traffic(*(round(value * _MIB) for value in totals.values()))


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
