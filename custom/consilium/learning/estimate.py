"""How much memory and disk a job needs at a site: estimates from its network, patch and voxel size.

They are upper bounds by rules that stand below, not measurements.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from consilium.data.case import Case, CaseError
from consilium.data.checks import CheckedCohort
from consilium.tasks import get_task
from consilium.tasks.segmentation.reading import VolumeSize, read_size
from consilium.tasks.settings import LearningSettings

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
    task = get_task(learning.task)
    with torch.device("meta"):
        network = task.build_network(learning.network)
        images = torch.empty(learning.batch_size, len(task.inputs), *learning.patch_voxels)  # type: ignore[attr-defined]
        targets = torch.empty(learning.batch_size, len(task.targets), *learning.patch_voxels)  # type: ignore[attr-defined]
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        # Two layers may keep one tensor: count its storage once, and hold it so that no other gets its key.
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        task.build_loss()(network(images), targets)
    activations = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return int(parameters * _BYTES_PER_PARAMETER + activations * _ACTIVATION_FACTOR) + _CUDA_CONTEXT


def shared_memory_bytes(learning: LearningSettings, workers: int) -> int:
    """Bytes of `/dev/shm` that processes which cut patches hand their batches over in; 0 without any."""
    channels = len(get_task(learning.task).inputs)
    batch = (
        learning.batch_size * math.prod(learning.patch_voxels) * (2 * channels + 1)  # type: ignore[attr-defined]
    )  # float16, uint8 label
    return workers * _BATCHES_PER_WORKER * batch


@dataclass(frozen=True)
class DiskNeed:
    """What a job writes at a site, in bytes."""

    cache: int
    workspace: int


def disk_need(
    cases: Iterable[Case], learning: LearningSettings, *, checked: CheckedCohort | None = None
) -> DiskNeed:
    """Estimate what preprocessed cases, logs and checkpoints take.

    For each case the whole volume of its first image, as its header says, at the job's voxel size: two bytes
    a modality and one for the label, and one byte for each original voxel of a labeled case. The cache crops
    to the head, so it is smaller. A case whose header can't be read counts nothing: it is left out anyway.

    Args:
        cases: The site's.
        learning: What the job decides.
        checked: Knows the size of cases that were checked, so that no header has to be read.
    """
    task = get_task(learning.task)
    cache = 0
    for case in cases:
        size = _known_size(case, checked) or _header_size(case, task.inputs[0])
        if size is None:
            continue
        voxels = math.prod(size.shape)
        volume = voxels * math.prod(size.spacing_mm)
        on_grid = volume / math.prod(learning.spacing_mm)  # type: ignore[attr-defined, operator]
        cache += int(on_grid * 2 * len(task.inputs))
        if case.label is not None:
            cache += int(on_grid) + voxels
    with torch.device("meta"):
        network = task.build_network(learning.network)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return DiskNeed(cache, parameters * _BYTES_PER_PARAMETER + _JOB_BYTES)


def _known_size(case: Case, checked: CheckedCohort | None) -> VolumeSize | None:
    if checked is None or case.id not in checked.shape or case.id not in checked.spacing_mm:
        return None
    return VolumeSize(checked.shape[case.id], checked.spacing_mm[case.id])


def _header_size(case: Case, modality: str) -> VolumeSize | None:
    try:
        return read_size(case.images[modality].path, case_id=case.id)
    except CaseError:
        return None
