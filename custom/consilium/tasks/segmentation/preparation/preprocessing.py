"""Deterministic preprocessing of a case's files into arrays.

It happens once a case; see `consilium.data.cache`. Augmentation is not part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from consilium.data.case_preparation import PreparationSettings
from consilium.data.codes import DataCode
from consilium.data.file_content import UnusableFile
from consilium.tasks.segmentation.codes import VolumeCode
from consilium.tasks.segmentation.geometry import Geometry
from consilium.tasks.segmentation.orientation import Shape3D, Spacing3D
from consilium.tasks.segmentation.preparation.crop import NativeCase
from consilium.tasks.segmentation.preparation.normalization import Normalization
from consilium.tasks.segmentation.resampling import grid_shape, resample, resample_label, to_half
from consilium.tasks.segmentation.volume_case import PreprocessedCase

if TYPE_CHECKING:
    from torch import Tensor

_MAX_TASK_VOXELS = 2**28
"""Of one image: 1 GiB while it is resampled. A cube of 256 mm at 0.5 mm has half of them."""


def _per_axis(value: object) -> object:
    return (value, value, value) if isinstance(value, int | float) else value


_PositiveMm = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class PreprocessingSettings(PreparationSettings):
    """Settings of preprocessing, besides the files.

    Attributes:
        inputs: Names, in the order of the image's channels.
        spacing_mm: Voxel size of the task grid along R, A and S; one number for all three.
        normalization: Fingerprint of the normalization.
    """

    version: ClassVar[int] = 3

    inputs: tuple[str, ...] = Field(min_length=1)
    spacing_mm: Annotated[tuple[_PositiveMm, _PositiveMm, _PositiveMm], BeforeValidator(_per_axis)]
    normalization: str


def preprocess(
    native: NativeCase, settings: PreprocessingSettings, normalization: Normalization
) -> PreprocessedCase:
    """Normalize and resample a case that was checked, turned to RAS and cropped.

    Args:
        native: The case on its own voxels; an image that it lacks becomes 0 everywhere.
        settings: Inputs and voxel size.
        normalization: What the network sees of an image.

    Returns:
        Image, label, reference and geometry; every voxel of the image is finite.

    Raises:
        UnusableFile: An image has no contrast or can't be normalized, or the task grid is too large.
    """
    import torch

    geometry = Geometry(
        file_shape=native.file_shape,
        file_affine=native.file_affine.tolist(),
        orientation=native.orientation,
        native_spacing_mm=native.spacing_mm,
        crop_start=native.crop_start,
        crop_stop=native.crop_stop,
        task_shape=_task_shape(native.crop_start, native.crop_stop, native.spacing_mm, settings.spacing_mm),
    )
    channels = (
        _channel(name, normalization.normalize, native.images[name], geometry.task_shape)
        if name in native.images
        else torch.zeros((1, *geometry.task_shape))  # what dropped images are in training
        for name in settings.inputs
    )
    image = torch.cat(list(channels))
    reference = None if native.reference is None else np.ascontiguousarray(native.reference)
    return PreprocessedCase(
        image=to_half(image).numpy(),
        label=None if reference is None else resample_label(reference, geometry.task_shape),
        reference=reference,
        geometry=geometry,
    )


def _task_shape(start: Shape3D, stop: Shape3D, native: Spacing3D, task: Spacing3D) -> Shape3D:
    """Voxels of the task grid, which has to fit into memory."""
    x, y, z = grid_shape(start, stop, native, task)
    if x * y * z > _MAX_TASK_VOXELS:
        raise UnusableFile(DataCode.TOO_LARGE, f"has {x} x {y} x {z} voxels on the grid of the job")
    return x, y, z


def _channel(
    name: str,
    normalize: Callable[[NDArray[Any]], NDArray[np.float32]],
    array: NDArray[Any],
    shape: Shape3D,
) -> Tensor:
    """One image on the task grid, `(1, X, Y, Z)`."""
    import torch

    try:
        channel = resample(torch.from_numpy(normalize(array))[None], shape)
    except UnusableFile as error:
        raise UnusableFile(error.code, f"has a {name} image that {error.detail}") from error
    if not torch.isfinite(channel).all():
        raise UnusableFile(VolumeCode.NON_FINITE, f"has a {name} image that can't be normalized")
    return channel
