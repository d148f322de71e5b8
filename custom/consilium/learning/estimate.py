"""Estimates of a job's memory and disk at a site, from its network and its batch.

They are upper bounds by rules that stand below, not measurements.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from consilium.data.case import Case
from consilium.tasks import get_task
from consilium.tasks.learning_settings import LearningSettings

if TYPE_CHECKING:
    from consilium.data.checks import CheckedCohort

GIB = 2**30

_BYTES_PER_PARAMETER = 16
"""Weight, gradient and the two moments of AdamW, float32."""
_ACTIVATION_FACTOR = 2.0
"""Gradients of activations and cuDNN's workspaces, on top of what the backward pass keeps."""
_CUDA_CONTEXT = 1 * GIB
"""CUDA context and the kernels of cuDNN and torch."""
_BATCHES_PER_WORKER = 2
"""torch's DataLoader lets each worker have so many batches ready (`prefetch_factor`)."""
_JOB_BYTES = 2 * GIB
"""Logs: FLARE rotates four files at 11 x 20 MiB each, for the site and a job (`local/log_config.json`)."""


def gpu_bytes(learning: LearningSettings) -> int:
    """Estimate the GPU memory, in bytes, that a training step of one process takes.

    Sixteen bytes a parameter (weight, gradient, AdamW's two moments), twice the tensors that the forward pass
    keeps for the backward pass at float32, and 1 GiB for CUDA itself. The kept tensors are counted by
    running the network without data on torch's meta device. Mixed precision needs less.
    """
    method = get_task(learning.task).method
    with torch.device("meta"):
        network = method.build_network(learning)
        inputs, targets = method.example_batch(learning)
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        # Two layers may keep one tensor: count its storage once, and hold it so that no other gets its key.
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        method.build_loss(learning)(network(inputs), targets)
    activations = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    parameters = _count(network)
    return int(parameters * _BYTES_PER_PARAMETER + activations * _ACTIVATION_FACTOR) + _CUDA_CONTEXT


def shared_memory_bytes(learning: LearningSettings, workers: int) -> int:
    """Bytes of `/dev/shm` that processes which load samples hand their batches over in; 0 without any."""
    batch = learning.batch_size * get_task(learning.task).method.sample_bytes(learning)
    return workers * _BATCHES_PER_WORKER * batch


@dataclass(frozen=True)
class DiskNeed:
    """Disk space that a job needs at a site, in bytes."""

    cache: int
    workspace: int


def disk_need(
    cases: Iterable[Case], learning: LearningSettings, *, checked: CheckedCohort | None = None
) -> DiskNeed:
    """Estimate the disk space of prepared cases, logs and checkpoints.

    A case whose files can't be read counts nothing: it is left out anyway.

    Args:
        cases: The site's.
        learning: What the job decides.
        checked: Knows the size of cases that were checked, so that no file needs to be read.
    """
    method = get_task(learning.task).method
    cache = sum(method.prepared_bytes(case, learning, checked) for case in cases)
    return DiskNeed(cache, count_parameters(learning) * _BYTES_PER_PARAMETER + _JOB_BYTES)


def count_parameters(learning: LearningSettings) -> int:
    """Return how many parameters a job's network has; it is built on torch's meta device, without memory."""
    with torch.device("meta"):
        return _count(get_task(learning.task).method.build_network(learning))


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
