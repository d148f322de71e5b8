"""What a job decides about learning: the same for every site."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator
from typing_extensions import Self

from consilium.counts import counted
from consilium.errors import ConfigurationError
from consilium.settings import Name, Settings
from consilium.tasks import get_task

Voxels = Annotated[int, Field(ge=16, le=512, multiple_of=8)]

MAX_BATCH_VOXELS = 2**27
"""Most voxels of a batch: the largest `batch_size` of patches of 128 x 128 x 128, those of the GPU job. Four
modalities of it are 1 GiB as they are loaded."""

MIN_LEARNING_RATE = 1e-7
"""Below it the model hardly moves in 32 bits. With a model that stands still, the losses of many rounds are
about patients rather than about learning."""


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


class LearningSettings(Settings):
    """Everything that shapes the model and its training.

    Exactly one of `local_steps` and `local_epochs` says how much a site trains in a round. With steps every
    site works equally long, whatever its number of patients; with epochs every patient is seen equally often.
    """

    task: Name = "brain_tumor"
    network: Name = "unet_small"
    spacing_mm: float = Field(
        default=2.0, ge=0.5, le=8.0, description="Edge of the voxels that the network sees."
    )
    patch_voxels: Annotated[tuple[Voxels, Voxels, Voxels], BeforeValidator(_per_axis)] = Field(
        default=(72, 88, 80), description="Of a patch along R, A and S; one number for all three."
    )
    batch_size: int = Field(default=1, ge=1, le=64)
    local_steps: int | None = Field(default=16, ge=1, le=1_000_000)
    local_epochs: float | None = Field(default=None, gt=0, le=10_000)
    learning_rate: float = Field(default=8e-3, ge=MIN_LEARNING_RATE, le=1)
    weight_decay: float = Field(default=1e-5, ge=0, le=1)
    warmup: float = Field(
        default=0.05, ge=0, le=0.5, description="Share of all steps in which the rate grows."
    )
    tumor_share: float = Field(
        default=0.3, ge=0, le=1, description="Share of patches centered on a tumor voxel."
    )
    window_overlap: float = Field(
        default=0.25, ge=0, lt=0.9, description="Of the windows in which cases are predicted."
    )
    seed: int = Field(default=0, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _check_as_a_whole(self) -> Self:
        try:
            task = get_task(self.task)
        except ConfigurationError as error:
            raise ValueError(str(error)) from None
        if self.network not in task.networks:
            raise ValueError(
                f"task {task.name!r} has no network {self.network!r}; known: {', '.join(task.networks)}"
            )
        if (self.local_steps is None) == (self.local_epochs is None):
            raise ValueError("give exactly one of local_steps and local_epochs, and null for the other")
        voxels = self.batch_size * math.prod(self.patch_voxels)
        if voxels > MAX_BATCH_VOXELS:
            fitting = MAX_BATCH_VOXELS // math.prod(self.patch_voxels)
            raise ValueError(
                f"batch_size {self.batch_size} of patch_voxels {list(self.patch_voxels)} are "
                f"{counted(voxels, 'voxel')} "
                f"a batch; at most {MAX_BATCH_VOXELS} are allowed: set batch_size to {fitting} or less, or a "
                "smaller patch"
            )
        return self

    def steps_per_round(self, train_cases: int) -> int:
        """Return how many steps a site with that many training cases makes in a round."""
        if self.local_steps is not None:
            return self.local_steps
        assert self.local_epochs is not None  # checked when the settings were made
        return max(1, round(self.local_epochs * train_cases / self.batch_size))


class ComputeSettings(Settings):
    """What a site decides about its own machine: how much of it a job may use."""

    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    cpu_threads: int | None = Field(
        default=None, ge=1, description="Default: all cores that the process may use."
    )
    loader_workers: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Processes that cut patches, for each training process; 0: the training process's own.",
    )
    processes: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = Field(
        default="auto",
        description="Processes that train together; `auto`: one for each GPU, one where there is none.",
    )

    @model_validator(mode="after")
    def _check_processes(self) -> Self:
        if ":" in self.device and self.processes not in ("auto", 1):
            raise ValueError(
                f"processes: {self.processes} with device {self.device!r}; several processes need device "
                "'cuda', which gives each of them a GPU of its own"
            )
        return self
