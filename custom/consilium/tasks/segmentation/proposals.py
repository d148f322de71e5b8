"""Proposed voxel size, patch and batch of a segmentation, from the hospitals' data and machines.

The rules follow nnU-Net's planner (Isensee et al. 2021, doi 10.1038/s41592-020-01008-z): the median voxel
size, as large a patch of the median case as the smallest machine takes with two of them a step, then as many
as still fit without seeing more than a twentieth of the data at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from consilium.counts import counted
from consilium.errors import ConfigurationError
from consilium.tasks.proposals import Box, Choice, Fingerprint
from consilium.tasks.segmentation.segmentation_settings import MAX_BATCH_VOXELS, SegmentationSettings

CPU_SPACING_MM: Final = 2.0
"""Finest voxels on which a hospital without a GPU trains: a finer grid has at least eight times as many."""

CPU_PATCH_VOXELS: Final = 72 * 88 * 80
"""Most voxels of a step on a CPU, about a quarter of 128 x 128 x 128. The time of a step sets this limit, and
depends on the voxels and the network only, not on what they show."""

_GIB = 2**30

_GPU_SHARE = 0.85
"""Of a GPU's memory that the estimate may fill."""

_BATCH_SHARE = 0.05
"""Of the voxels of the smallest hospital's patients that a step may see at once; as in nnU-Net."""

_LARGEST_BATCH = 64
_STEP_VOXELS = 8
_PATCH_LIMITS = (16, 512)
_SPACING_LIMITS_MM = (0.5, 8.0)
_ANISOTROPY = 3.0
"""Voxels so much longer than wide count as slices; as in nnU-Net."""


class _StepBytes(NamedTuple):
    """Memory of a step in bytes, interpolated from two estimates, as activations grow with the voxels."""

    fixed: float
    per_voxel: float

    @classmethod
    def measure(
        cls, settings: SegmentationSettings, step_bytes: Callable[[SegmentationSettings], int]
    ) -> _StepBytes:
        (small, first), (large, second) = (
            (edge**3, step_bytes(settings.model_copy(update={"patch_voxels": (edge,) * 3, "batch_size": 1})))
            for edge in (32, 64)
        )
        per_voxel = (second - first) / (large - small)
        return cls(first - per_voxel * small, per_voxel)

    def of(self, patch: Sequence[int], batch: int) -> float:
        return self.fixed + self.per_voxel * batch * math.prod(patch)


def propose(
    fingerprint: Fingerprint,
    settings: SegmentationSettings,
    step_bytes: Callable[[SegmentationSettings], int],
) -> list[Choice]:
    """Propose voxel size, patch and batch, each with its reason.

    Args:
        fingerprint: The hospitals.
        settings: What the job has by itself; its network stays.
        step_bytes: Estimates the GPU memory that a training step takes.

    Raises:
        ConfigurationError: If voxel size or extent of the images is not known.
    """
    native, extent = fingerprint.data.spacing_mm, fingerprint.data.extent_mm
    if native is None or extent is None:
        raise ConfigurationError(
            "no hospital reported voxel size and extent of its images; run the task's statistics job, or ask "
            "the hospitals for a smaller min_count"
        )
    spacing = _propose_spacing(native, fingerprint)
    case = tuple(size / spacing.value for size in extent)
    if fingerprint.gpu_gib is None:
        patch, batch = _fit_cpu(case, spacing.value, fingerprint)
    else:
        needed = _StepBytes.measure(settings, step_bytes)
        patch, batch = _fit_gpu(case, fingerprint, fingerprint.gpu_gib, needed, settings.network)
    return [spacing, patch, batch]


def _propose_spacing(native: Box, fingerprint: Fingerprint) -> Choice:
    ordered = sorted(native)
    sizes = " x ".join(f"{size:.1f}" for size in native)
    wanted, reason = ordered[1], f"the median voxel of all patients is {sizes} mm"
    if ordered[2] > _ANISOTROPY * ordered[0]:
        reason += ", thick slices: the edge within a slice is kept"
    if fingerprint.gpu_gib is None and wanted < CPU_SPACING_MM:
        wanted = CPU_SPACING_MM
        reason += f"; not finer than {CPU_SPACING_MM:g} mm for a CPU ({fingerprint.machines})"
    low, high = _SPACING_LIMITS_MM
    return Choice("learning.spacing_mm", round(min(max(wanted, low), high), 1), reason)


def _fit_cpu(case: Sequence[float], spacing: float, fingerprint: Fingerprint) -> tuple[Choice, Choice]:
    patch = _whole_case_patch(case)
    while math.prod(patch) > CPU_PATCH_VOXELS:
        patch = _smaller(patch, case)
    reason = (
        f"the median case ({fingerprint.data.extent_of}) has {_shape(case)} voxels of {spacing:g} mm; at "
        f"most {CPU_PATCH_VOXELS} voxels a step on a CPU ({fingerprint.machines})"
    )
    return (
        Choice("learning.patch_voxels", patch, reason),
        Choice("learning.batch_size", 1, "on a CPU steps are short rather than large"),
    )


def _fit_gpu(
    case: Sequence[float], fingerprint: Fingerprint, gpu_gib: float, step: _StepBytes, network: str
) -> tuple[Choice, Choice]:
    budget = _GPU_SHARE * gpu_gib * _GIB
    smallest = (_PATCH_LIMITS[0],) * 3
    patch, batch = _whole_case_patch(case), 2
    while patch != smallest and step.of(patch, batch) > budget:
        patch = _smaller(patch, case)
    if step.of(patch, batch) > budget:
        batch = 1
    allowed = min(_BATCH_SHARE * fingerprint.data.fewest_patients * math.prod(case), MAX_BATCH_VOXELS)
    while (
        batch < _LARGEST_BATCH
        and (batch + 1) * math.prod(patch) <= allowed
        and step.of(patch, batch + 1) <= budget
    ):
        batch += 1
    gib = step.of(patch, batch) / _GIB
    return (
        Choice(
            "learning.patch_voxels",
            patch,
            f"the median case ({fingerprint.data.extent_of}) has {_shape(case)} voxels; this is the largest "
            f"part of it with which {network} is estimated to fit {gpu_gib:.0f} GiB "
            f"({fingerprint.machines})",
        ),
        Choice(
            "learning.batch_size",
            batch,
            f"about {gib:.1f} GiB a step by estimate; two where they fit, and more while a step sees less "
            f"than {_BATCH_SHARE:.0%} of the smallest hospital's "
            f"{counted(fingerprint.data.fewest_patients, 'patient')}",
        ),
    )


def _whole_case_patch(case: Sequence[float]) -> tuple[int, ...]:
    """The smallest patch that holds a whole case."""
    low, high = _PATCH_LIMITS
    return tuple(
        min(max(math.ceil(round(size, 3) / _STEP_VOXELS) * _STEP_VOXELS, low), high) for size in case
    )


def _smaller(patch: Sequence[int], case: Sequence[float]) -> tuple[int, ...]:
    """The patch without one step along the axis of which it holds the largest share of a case."""
    low, _ = _PATCH_LIMITS
    shares = [size / whole if size > low else 0.0 for size, whole in zip(patch, case, strict=True)]
    axis = shares.index(max(shares))
    return tuple(size - _STEP_VOXELS if place == axis else size for place, size in enumerate(patch))


def _shape(case: Sequence[float]) -> str:
    return " x ".join(str(round(size)) for size in case)
