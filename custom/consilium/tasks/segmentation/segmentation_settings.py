"""Learning settings of a job that segments volumes."""

from __future__ import annotations

import math
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, Field, PlainSerializer, field_validator, model_validator
from typing_extensions import Self

from consilium.counts import counted
from consilium.tasks.learning_settings import LearningSettings
from consilium.tasks.segmentation.networks import NETWORKS, MonaiNetwork

MAX_BATCH_VOXELS = 2**27
"""Most voxels of a batch: the largest `batch_size` of patches of 128 x 128 x 128. Four images of it are 1 GiB
as they are loaded."""


def _per_axis(value: object) -> object:
    """One number as one of each axis.

    Raises:
        ValueError: There are other than three numbers.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (value, value, value)
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise ValueError("give one number, such as 32, or three, such as [72, 88, 80]")
    return value


def _shortest(spacing: tuple[float, float, float]) -> float | list[float]:
    """One number where it is that of every axis."""
    return spacing[0] if len(set(spacing)) == 1 else list(spacing)


_Voxels = Annotated[int, Field(ge=16, le=512, multiple_of=8)]
_Millimeters = Annotated[float, Field(ge=0.5, le=8.0)]

PatchVoxels: TypeAlias = Annotated[
    tuple[_Voxels, _Voxels, _Voxels],
    BeforeValidator(_per_axis),
    Field(description="Of a patch along R, A and S; one number for all three."),
]
SpacingMm: TypeAlias = Annotated[
    tuple[_Millimeters, _Millimeters, _Millimeters],
    BeforeValidator(_per_axis),
    PlainSerializer(_shortest),
    Field(description="Edges of the voxels that the network sees, along R, A and S; one number for all."),
]


class SegmentationSettings(LearningSettings):
    """Settings of every task that segments volumes; a task's subclass has defaults for those without one."""

    network: str = "unet_small"
    spacing_mm: SpacingMm
    patch_voxels: PatchVoxels
    foreground_share: float = Field(
        default=0.3, ge=0, le=1, description="Share of patches centered on a labeled voxel."
    )
    window_overlap: float = Field(
        default=0.25, ge=0, lt=0.9, description="Of the windows in which cases are predicted."
    )

    @classmethod
    def networks(cls) -> tuple[str, ...]:
        """Return the names of the task's networks: those of `NETWORKS`, unless a subclass lists others."""
        return super().networks() or tuple(NETWORKS)

    @field_validator("network")
    @classmethod
    def _check_network(cls, name: str) -> str:
        """A job names no network that the task can't build."""
        if name not in cls.networks():
            raise ValueError(f"allowed: {' or '.join(map(repr, cls.networks()))}")
        return name

    @property
    def has_affine_normalization(self) -> bool:
        """Whether the network's normalization has affine parameters; `unet_small` has none."""
        network = NETWORKS.get(self.network)
        return network.has_affine if isinstance(network, MonaiNetwork) else True

    @property
    def accepts_missing_targets(self) -> bool:
        """Whether a hospital can train whose labels lack some regions: each region has a loss of its own."""
        return True

    @model_validator(mode="after")
    def _check_batch(self) -> Self:
        voxels = self.batch_size * math.prod(self.patch_voxels)
        if voxels > MAX_BATCH_VOXELS:
            fitting = MAX_BATCH_VOXELS // math.prod(self.patch_voxels)
            raise ValueError(
                f"batch_size {self.batch_size} of patch_voxels {list(self.patch_voxels)} are "
                f"{counted(voxels, 'voxel')} a batch; at most {MAX_BATCH_VOXELS} are allowed: set batch_size "
                f"to {fitting} or less, or a smaller patch"
            )
        return self

    @property
    def spacing_text(self) -> str:
        """Voxel size in words: `2 mm`, or `1 x 1 x 5 mm`."""
        axes = self.spacing_mm if len(set(self.spacing_mm)) > 1 else self.spacing_mm[:1]
        return f"{' x '.join(f'{size:g}' for size in axes)} mm"

    @property
    def summary(self) -> str:
        """What is trained: network and voxel size."""
        return f"{self.network}, {self.spacing_text}"
