"""nnU-Net's plan, cut to the size, voxels and patch of another network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Final

CONFIGURATION: Final = "3d_fullres"
STAGES: Final = 4
"""Resolutions of a cut network: the whole one, and down to an eighth, as Consilium's networks have them."""

_CONVOLUTIONS: Final = 2
"""A stage, in nnU-Net's encoder and decoder."""

_MULTIPLE: Final = 8


def cut_plan(
    plan: Mapping[str, Any],
    name: str,
    *,
    patch_voxels: Sequence[int],
    spacing_mm: Sequence[float],
    batch_size: int,
    base_features: int,
) -> dict[str, Any]:
    """Return a plan with another patch, voxel size, batch and width; the rest stays as nnU-Net chose it.

    nnU-Net's arrays have the axes S, A, R, in the order of `transpose_forward`.

    Args:
        plan: As nnU-Net wrote it.
        name: Of the new plan.
        patch_voxels: Along R, A, S; multiples of 8.
        spacing_mm: Along R, A, S.
        batch_size: Patches of a step.
        base_features: Channels at the whole resolution; each halving of it doubles them.

    Raises:
        ValueError: If a side of the patch can't be halved `STAGES` - 1 times.
    """
    factor = 2 ** (STAGES - 1)
    if any(side % factor for side in patch_voxels):
        raise ValueError(f"a patch of {tuple(patch_voxels)} can't be halved {STAGES - 1} times")
    cut = deepcopy(dict(plan))
    configuration = cut["configurations"][CONFIGURATION]
    order = cut["transpose_forward"]
    along_axes = [(patch_voxels[2 - axis], float(spacing_mm[2 - axis])) for axis in order]
    configuration |= {
        "data_identifier": f"{name}_{CONFIGURATION}",
        "batch_size": batch_size,
        "patch_size": [side for side, _ in along_axes],
        "spacing": [size for _, size in along_axes],
    }
    configuration["architecture"]["arch_kwargs"] |= {
        "n_stages": STAGES,
        "features_per_stage": [base_features * 2**stage for stage in range(STAGES)],
        "kernel_sizes": [[3, 3, 3]] * STAGES,
        "strides": [[1, 1, 1], *[[2, 2, 2]] * (STAGES - 1)],
        "n_conv_per_stage": [_CONVOLUTIONS] * STAGES,
        "n_conv_per_stage_decoder": [_CONVOLUTIONS] * (STAGES - 1),
    }
    return {**cut, "plans_name": name, "configurations": {CONFIGURATION: configuration}}


def widest_base(parameters: int, channels: int, outputs: int) -> int:
    """Return the most channels at the whole resolution with which a cut network is not larger than another.

    They are a multiple of 8, as nnU-Net has them and as convolutions are made for: a step with 9 takes 1.4
    times as long on a CPU as one with 8.

    Example:
        >>> widest_base(488_451, channels=4, outputs=3)
        8

    Args:
        parameters: Of the other network.
        channels: Images of a case.
        outputs: Regions.
    """
    base = _MULTIPLE
    while count_parameters(base + _MULTIPLE, channels, outputs) <= parameters:
        base += _MULTIPLE
    return base


def count_parameters(base: int, channels: int, outputs: int) -> int:
    """Return the parameters of a cut `PlainConvUNet`: encoder, decoder, and an output at every resolution.

    Args:
        base: Channels at the whole resolution.
        channels: Images of a case.
        outputs: Regions.
    """
    widths = [base * 2**stage for stage in range(STAGES)]
    total = sum(_stage(below, width) for below, width in zip([channels, *widths], widths, strict=False))
    for width in widths[:-1]:
        upsampling = 2 * width * width * 8 + width
        total += upsampling + _stage(2 * width, width) + (width + 1) * outputs
    return total


def _stage(channels: int, width: int) -> int:
    """Convolutions of 3 x 3 x 3 with bias, each with the two parameters a channel of its normalization."""
    inputs = (channels, *[width] * (_CONVOLUTIONS - 1))
    return sum((27 * count + 1) * width + 2 * width for count in inputs)
