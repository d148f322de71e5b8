"""How many cores there are to work with."""

import os


def available_cores() -> int:
    """Return how many cores this process may use; in a container that can be less than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
