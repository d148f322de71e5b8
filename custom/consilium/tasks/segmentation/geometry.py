"""Geometry of a preprocessed case in its original file, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from consilium.tasks.segmentation.orientation import Shape3D, Spacing3D, to_file_axes
from consilium.tasks.segmentation.resampling import ResamplingMode, resample

if TYPE_CHECKING:
    from torch import Tensor

_Row = tuple[float, float, float, float]


class Geometry(BaseModel):
    """The steps from a file's voxels to the task's grid, enough to put a prediction back.

    Three grids follow each other: the *file's* array in its own axis order; the *native crop*, the same
    voxels turned to the closest RAS axes and cut to the anatomy; the *task grid*, the crop resampled to the
    task's voxel size. JSON holds all of it.

    Attributes:
        file_shape: Voxels of the file, in its own axis order.
        file_affine: Voxel index to mm, as in the file.
        orientation: Axis codes of the file, for example `LPS`.
        native_spacing_mm: Voxel size of the file along its closest R, A and S axes.
        crop_start: First voxel of the crop, RAS.
        crop_stop: One past the last voxel of the crop, RAS.
        task_shape: Voxels of the task grid.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file_shape: Shape3D
    file_affine: tuple[_Row, _Row, _Row, _Row]
    orientation: str
    native_spacing_mm: Spacing3D
    crop_start: Shape3D
    crop_stop: Shape3D
    task_shape: Shape3D

    @property
    def crop_shape(self) -> Shape3D:
        """Voxels of the native crop."""
        x, y, z = (stop - start for start, stop in zip(self.crop_start, self.crop_stop, strict=True))
        return x, y, z

    def to_native_crop(self, array: Tensor, *, mode: ResamplingMode = "linear") -> Tensor:
        """Resample from the task grid to the native crop.

        Args:
            array: For example probabilities, `(C, X, Y, Z)` floating point on the task grid.
            mode: Interpolation.

        Returns:
            Tensor `(C, *crop_shape)`.

        Raises:
            ValueError: The array doesn't lie on the task grid.
        """
        if tuple(array.shape[1:]) != self.task_shape:
            raise ValueError(f"array has the shape {tuple(array.shape)}, not (C, *{self.task_shape})")
        return resample(array, self.crop_shape, mode=mode)

    def to_file_grid(self, labelmap: NDArray[Any]) -> NDArray[Any]:
        """Put a native crop back into an array of the file's shape and axis order, 0 outside the crop.

        Args:
            labelmap: `(X, Y, Z)` of `crop_shape`, for example a predicted label.

        Returns:
            Array of `file_shape`, to be saved with `file_affine`.

        Raises:
            ValueError: The array isn't a native crop.
        """
        if labelmap.shape != self.crop_shape:
            raise ValueError(f"labelmap has the shape {labelmap.shape}, not {self.crop_shape}")
        return to_file_axes(labelmap, self.crop_start, self.crop_stop, self.orientation, self.file_shape)
