"""Memory that a training step frees, kept by the process for the next step."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_MAX: Final = -4
"""Options of glibc's `mallopt`; see `man mallopt`."""

_NEVER: Final = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the C library keep what this process frees, for what it allocates next.

    glibc maps memory for each large allocation and unmaps it when it is freed; every page is then zeroed and
    mapped by the kernel when it is first used. A training step allocates and frees the same arrays again and
    again. The process holds its peak until it ends, as it would need it in the next step anyway.

    Returns:
        Whether the C library is glibc, and has done so; others stay as they are.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):  # musl has another allocator, without options
        return False
    # No mapping of its own for a large array, and no trimming of the heap's end.
    return bool(library.mallopt(_MMAP_MAX, 0)) and bool(library.mallopt(_TRIM_THRESHOLD, _NEVER))
