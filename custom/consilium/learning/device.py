"""Device of a training: precision, threads, transfer of tensors."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

import torch
from torch import Tensor, nn

from consilium.counts import counted
from consilium.errors import ConfigurationError
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.freed_memory import keep_freed_memory
from consilium.learning.gpu_memory import refuse_full_memory
from consilium.process_limits import available_cores

_CHANNELS_LAST: Final = {4: torch.channels_last, 5: torch.channels_last_3d}
"""Memory formats by the dimensions of a batch of images, and of the weights of a convolution over it."""


@dataclass(frozen=True, slots=True)
class Device:
    """Device and precision of computations.

    Attributes:
        torch_device: Where the network runs.
        amp_dtype: Precision of autocast, or None for full precision. On CUDA bfloat16 where the chip computes
            in it, else float16: torch emulates bfloat16 on chips before Ampere, which is slower than float32.
            Never on CPU, where bfloat16 is faster on some processors only, and predictions would depend on
            the processor.
    """

    torch_device: torch.device
    amp_dtype: torch.dtype | None

    @property
    def needs_loss_scaling(self) -> bool:
        """Whether gradients would underflow without a scaled loss: float16 only."""
        return self.amp_dtype == torch.float16

    def without_scaling(self) -> Device:
        """Return a device that needs no scaled loss: in full precision where this one has float16."""
        return replace(self, amp_dtype=None) if self.needs_loss_scaling else self

    def new_scaler(self) -> torch.amp.GradScaler:
        """Return a new scaler of losses; it does nothing where none is needed."""
        return torch.amp.GradScaler(self.torch_device.type, enabled=self.needs_loss_scaling)

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which the forward pass runs."""
        return torch.autocast(
            self.torch_device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None
        )

    def refuse_full_memory(
        self, what: str, *, needed: Callable[[], int] | None = None
    ) -> AbstractContextManager[None]:
        """Return the context in which work runs that may fill this device's memory; see `gpu_memory`."""
        return refuse_full_memory(self.torch_device, what, needed=needed)

    def place(self, network: nn.Module) -> nn.Module:
        """Move a network here. On CUDA its memory format becomes channels-last, which tensor cores want.

        Raises:
            SiteRefusal: If the device's memory is full.
        """
        if self.torch_device.type == "cuda" and (layout := choose_layout(network)) is not None:
            network = network.to(memory_format=layout)  # type: ignore[call-overload]
        with self.refuse_full_memory("loading the network"):
            return network.to(self.torch_device)

    def move(self, batch: Tensor) -> Tensor:
        """Move a batch `(N, C, ...)` here, in the memory format of `place`."""
        if self.torch_device.type == "cuda":
            layout = _CHANNELS_LAST.get(batch.dim(), torch.preserve_format)
            return batch.to(self.torch_device, non_blocking=True, memory_format=layout)
        return batch.to(self.torch_device)


def open_device(settings: ComputeSettings) -> Device:
    """Choose the device and fit the process's thread count to the cores that the site grants.

    Several sites on one machine that each use every core run 3 to 4 times slower than with their share of
    them.

    On a CPU the process keeps the memory that a step frees; see `keep_freed_memory`.

    Raises:
        ConfigurationError: If a CUDA device is asked for that this machine does not have.
        SiteRefusal: If its memory is full.
    """
    torch.set_num_threads(settings.cpu_threads or available_cores())
    device = torch.device(device_name(settings))
    if device.type == "cpu":
        keep_freed_memory()
        return Device(device, amp_dtype=None)
    if not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        shown = "" if visible is None else f" by CUDA_VISIBLE_DEVICES={visible}, which FLARE sets for a job,"
        raise ConfigurationError(
            f"device {settings.device!r} is not on this machine, which has{shown} "
            f"{counted(torch.cuda.device_count(), 'CUDA device')}; use 'auto' or 'cpu' (`--device` "
            "of a command, `device` in a site's local/privacy.json), or fix the driver (see `nvidia-smi`)"
        )
    torch.backends.cudnn.benchmark = True  # every batch of a job has one size
    with refuse_full_memory(device, "opening it"):  # the first call to CUDA takes memory
        if device.index is not None:
            torch.cuda.set_device(device)  # what names no device, such as pinning, takes none of the first
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return Device(device, torch.bfloat16 if has_bfloat16 else torch.float16)


def choose_layout(network: nn.Module) -> torch.memory_format | None:
    """Return the channels-last format of a network; None for one with both 2D and 3D tensors, or neither.

    Torch converts every parameter and buffer of four or five dimensions, and fails at one that does not fit.
    """
    tensors = chain(network.parameters(), network.buffers())
    formats = {_CHANNELS_LAST[one.dim()] for one in tensors if one.dim() in _CHANNELS_LAST}
    return formats.pop() if len(formats) == 1 else None


def device_name(settings: ComputeSettings) -> str:
    """Return the device that the site means: `auto` becomes `cuda` or `cpu`."""
    if settings.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return settings.device


def process_count(settings: ComputeSettings) -> int:
    """Return how many processes the site grants for training, whatever the job's batch.

    Raises:
        ConfigurationError: If more processes are asked for than there are GPUs.
    """
    name = device_name(settings)
    if name == "cpu":
        return 1 if settings.processes == "auto" else settings.processes
    if name != "cuda":
        return 1
    gpus = torch.cuda.device_count()
    if settings.processes == "auto":
        return max(1, gpus)
    if settings.processes > gpus:
        raise ConfigurationError(
            f"processes: {settings.processes}, but this job may use {counted(gpus, 'GPU')}, and each "
            "process needs "
            "one; set `processes` in the site's privacy.json to 'auto'"
        )
    return settings.processes
