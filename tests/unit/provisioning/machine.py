"""Waiting for a kit's processes on this machine."""

import time

from consilium.guard.kit_processes import find_processes

DEADLINE_SECONDS = 60


def wait_for(condition):
    end = time.monotonic() + DEADLINE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {DEADLINE_SECONDS} s"
        time.sleep(0.1)
    return found


def lasting(kit):
    return [one for one in find_processes(kit) if one.is_parent]
