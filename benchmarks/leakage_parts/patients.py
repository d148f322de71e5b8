"""Synthetic patients as the attacks see them: whole heads in one patch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from consilium.data.cached_case import CachedCase
from consilium.errors import ConfigurationError
from consilium.tasks import get_task
from consilium.tasks.registry import synthetic_cohort
from consilium.tasks.segmentation.patches import PatchSampler, Placement
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings
from consilium.tasks.segmentation.volume_case import VolumeCase
from consilium.tasks.synthetic import specify_cohort
from nnunet_parts.ours import prepare_hospital


@dataclass(frozen=True)
class Roles:
    """Who is who. All patients are of one hospital and one scanner, so that nothing else gives one away.

    Attributes:
        targets: Those whose updates are attacked.
        decoys: Others, among whom a target has to be found.
        own: The attacker's own, from whom it knows what a head looks like.
    """

    targets: tuple[CachedCase, ...]
    decoys: tuple[CachedCase, ...]
    own: tuple[CachedCase, ...]


def make_patients(out: Path, learning: SegmentationSettings, targets: int, decoys: int, own: int) -> Roles:
    """Make and prepare synthetic patients; those that are there are left alone.

    Args:
        out: Folder of everything.
        learning: How they are prepared.
        targets: How many of each role.
        decoys: The same.
        own: The same.

    Raises:
        ConfigurationError: If patients are left out by the data's checks.
    """
    count = targets + decoys + own
    options = {"spacing": 4, "hospitals": {"north": f"brats2021:{count}"}}
    folder = (
        specify_cohort(synthetic_cohort(learning.task), options).make(out / "hospitals").hospitals["north"]
    )
    data = prepare_hospital("north", folder, out, learning)
    cases = sorted((*data.train, *data.test), key=lambda case: case.id)
    if len(cases) < count:
        raise ConfigurationError(
            f"{len(cases)} of {count} synthetic patients can be used; choose another --out"
        )
    return Roles(
        tuple(cases[:targets]),
        tuple(cases[targets : targets + decoys]),
        tuple(cases[targets + decoys : count]),
    )


def read_head(case: CachedCase, learning: SegmentationSettings) -> tuple[Tensor, Tensor]:
    """Read the middle patch of a case, as it is.

    Returns:
        Images `(1, C, X, Y, Z)` and regions `(1, R, X, Y, Z)`, float32.
    """
    size = np.asarray(learning.patch_voxels)
    extent = np.asarray(VolumeCase.of(case).image.shape[1:])
    placement = Placement((extent - size) // 2, (slice(None),) * 3)
    image, label = PatchSampler(learning.patch_voxels, 0.0).cut(case, placement)
    return image[None].float(), get_task(learning.task).method.encode_targets(label[None])


def read_heads(cases: Sequence[CachedCase], learning: SegmentationSettings) -> Tensor:
    """Read the middle patches of cases, `(N, C, X, Y, Z)`."""
    return torch.cat([read_head(case, learning)[0] for case in cases])


def flips(volumes: Tensor) -> list[Tensor]:
    """Return the eight ways in which a sampler may have turned volumes `(N, C, X, Y, Z)`."""
    ways = product((False, True), repeat=3)
    return [volumes.flip([axis + 2 for axis, turned in enumerate(way) if turned]) for way in ways]
