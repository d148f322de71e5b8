"""The voxel grid that a cohort is stored on."""

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

# The widest brain of an adult: width, length and height, in mm.
_HEAD_MM = (150.0, 190.0, 150.0)

_Edge: TypeAlias = Annotated[int, Field(ge=1, le=512)]


class VoxelGrid(BaseModel):
    """The voxel grid that a cohort is stored on.

    Args:
        shape: Voxels, `(X, Y, Z)`.
        spacing_mm: Edge of a cubic voxel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[_Edge, _Edge, _Edge] = (240, 240, 155)
    spacing_mm: float = Field(default=1.0, ge=0.5, le=4.0)

    @model_validator(mode="after")
    def _holds_a_head(self) -> "VoxelGrid":
        extent = [size * self.spacing_mm for size in self.shape]
        if any(have < need for have, need in zip(extent, _HEAD_MM, strict=True)):
            raise ValueError(
                f"a grid of {self.shape} voxels at {self.spacing_mm:g} mm spans {extent} mm; a head "
                f"needs at least {list(_HEAD_MM)} mm"
            )
        return self
