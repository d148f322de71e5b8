"""Memory settings of the C library for a site's processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from consilium.provisioning.policy import SiteKind

_SERVER: Final = "glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0:glibc.malloc.mmap_threshold=65536"
"""By itself glibc keeps what is freed for each of the server's hundreds of threads, and pieces of models
among it; so all of them share it, and what is longer than 64 KiB goes back at once. It wins over
`MALLOC_ARENA_MAX`. Not for hospitals: training takes and frees arrays all the time."""

_ARENAS: Final = "4"
"""As FLARE's own start script sets it, which is not run where a pod or a container starts Python itself."""


def memory_environment(kind: SiteKind) -> Mapping[str, str]:
    """Return the environment variables with which the processes of a server or a hospital are started.

    They only work from a process's start on, and another C library takes no notice. How many threads compute
    is `cpu_threads` of the site, or as many cores as the container may use.
    """
    arenas = {"MALLOC_ARENA_MAX": _ARENAS}
    return {**arenas, "GLIBC_TUNABLES": _SERVER} if kind == "server" else arenas
