"""A GPU whose memory is full: the refusal, and memory for the next attempt."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import torch

from consilium.errors import RefusalCode, SiteRefusal

_GIB: Final = 2**30
_MOST_SHOWN: Final = 500
"""Characters of torch's error."""

_FULL: Final = (
    "CUDA out of memory",  # torch's allocator, where another error quotes it, as that of loading weights does
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "'out of memory'",  # NCCL quotes CUDA, where processes connect
    "unable to find an engine to execute",  # of the tuned convolutions, none had room for its workspace
)
"""What says so beside `torch.OutOfMemoryError`; CUDA and its libraries for a context, a handle, a buffer."""


@contextmanager
def refuse_full_memory(
    device: torch.device, what: str, *, needed: Callable[[], int] | None = None
) -> Iterator[None]:
    """Decline work for which a GPU's memory does not suffice, and release what the work held.

    Other programs may use the GPU: the same work can succeed when they have ended. So what torch holds
    without need is given back, for them and for the next attempt.

    Args:
        device: On which the work runs.
        what: The work, such as `training`.
        needed: Estimates the bytes that it takes.

    Raises:
        SiteRefusal: With `RefusalCode.GPU_MEMORY`, how much there is, and how much this process holds; for
            the site's log also with torch's own words, which may name other programs.
    """
    try:
        yield
    except RuntimeError as error:
        if not _is_full(error):
            raise
        traceback.clear_frames(error.__traceback__)  # the tensors of the step that failed
        _release(device)
        found = [f"about {needed() / _GIB:.1f} GiB needed (estimate)"] if needed else []
        raise SiteRefusal(
            f"the GPU's memory is full in {what}: {', '.join([*found, *_describe(device)])}",
            code=RefusalCode.GPU_MEMORY,
            details=(
                " ".join(str(error).split())[:_MOST_SHOWN],
                "nvidia-smi shows the programs on the GPU: end those that need not run, and try again; if it "
                "is free and still too small, use a larger GPU, the CPU (device: cpu), or a job with a "
                "smaller batch_size or smaller samples",
            ),
        ) from None


def _is_full(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or any(mark in str(error) for mark in _FULL)


def _release(device: torch.device) -> None:
    if device.type == "cuda" and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


def _describe(device: torch.device) -> list[str]:
    """The GPU's memory, and how much of it others hold."""
    if device.type != "cuda":
        return ["of a size that is not known"]
    try:
        free, total = torch.cuda.mem_get_info(device)
        own = torch.cuda.memory_reserved(device)
    except RuntimeError:  # not even enough for a context
        return ["not even enough for CUDA itself"]
    return [
        f"{total / _GIB:.1f} GiB in all, {free / _GIB:.1f} GiB free",
        f"{own / _GIB:.1f} GiB held by this process",
    ]
