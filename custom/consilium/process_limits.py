"""Limits of this process: the CPU cores that it may use, and whether it can start threads."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup")
"""Where a container sees the limits that it was started with."""

_THREADS = 4
"""FLARE takes one for each message on its way, and for its answer."""


def available_cores(cgroup: Path = _CGROUP) -> int:
    """Return how many cores this process may use; in a container that can be less than the machine has.

    A container can be bound to cores, or be given their time only (`cpus: 4` of Compose, a CPU limit of
    Kubernetes): with a thread for each core of the machine it would then mostly wait.

    Args:
        cgroup: Folder of the control group's files, of either version.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = _time_limit(cgroup)
    return bound if limit is None else max(1, min(bound, math.ceil(limit)))


def _time_limit(cgroup: Path) -> float | None:
    """Return of how many cores' time there is; None without a limit."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (cgroup / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = ((cgroup / f"cpu/cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return None if int(quota) < 0 else int(quota) / int(period)
    return None


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
