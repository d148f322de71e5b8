"""Looking at a kit's processes on this machine."""

from consilium.guard.kit_processes import find_processes

DEADLINE_SECONDS = 60


def lasting(kit):
    return [one for one in find_processes(kit) if one.is_parent]
