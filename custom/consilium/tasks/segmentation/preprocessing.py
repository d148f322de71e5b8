"""Deterministic preprocessing: the files of a case to the arrays that training, scoring and prediction use.

It happens once a case; see `consilium.data.cache`. Augmentation is not part of it.
"""

import hashlib
from dataclasses import dataclass
from typing import Annotated, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from consilium.data.case import Case
from consilium.data.case_boundary import case_boundary
from consilium.data.codes import DataCode
from consilium.data.file_content import UnusableFile
from consilium.tasks.brain_tumor.labels import LabelConvention
from consilium.tasks.segmentation.codes import VolumeCode
from consilium.tasks.segmentation.geometry import Geometry
from consilium.tasks.segmentation.intensities import standardize
from consilium.tasks.segmentation.native import NativeCase, read_native
from consilium.tasks.segmentation.orientation import Shape3D, Spacing3D
from consilium.tasks.segmentation.resampling import resample, resample_label

PREPROCESSING_VERSION: Final = 3
"""Raised when the same files and settings would give other arrays, so that no cache mixes both."""

# Spacings closer than this are the same one, rounded differently in a header.
_SAME_SPACING_MM = 1e-3
_MAX_TASK_VOXELS = 2**28
"""Of one modality: 1 GiB while it is resampled. A head at 0.5 mm has half of it."""
_FLOAT16_MAX = float(np.finfo(np.float16).max)


def _per_axis(value: object) -> object:
    return (value, value, value) if isinstance(value, int | float) else value


_PositiveMm = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class PreprocessingSettings(BaseModel):
    """What preprocessing depends on besides the files.

    Attributes:
        modalities: Canonical names, in the order of the image's channels.
        spacing_mm: Voxel size of the task grid along R, A and S; one number for all three.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    modalities: tuple[str, ...] = Field(min_length=1)
    spacing_mm: Annotated[tuple[_PositiveMm, _PositiveMm, _PositiveMm], BeforeValidator(_per_axis)]

    def fingerprint(self) -> str:
        """Short text that is equal exactly when the settings and `PREPROCESSING_VERSION` are."""
        content = f"{PREPROCESSING_VERSION} {self.model_dump_json()}"
        return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class PreprocessedCase:
    """The arrays of one case.

    Args:
        image: Normalized modalities on the task grid, `(C, X, Y, Z)`; 0 is background.
        label: Tissues on the task grid, `(X, Y, Z)`; None for an unlabeled case.
        reference: Tissues on the native crop, as drawn: what a prediction is judged against.
        geometry: How the grids relate to the file.
    """

    image: NDArray[np.float16]
    label: NDArray[np.uint8] | None
    reference: NDArray[np.uint8] | None
    geometry: Geometry


def preprocess(
    case: Case, convention: LabelConvention | None, settings: PreprocessingSettings
) -> PreprocessedCase:
    """Read, check and preprocess a case; see `read_native` for its errors and `preprocess_native`.

    Args:
        case: The case.
        convention: What the label's values mean; may be None only for an unlabeled case.
        settings: Modalities and voxel size.
    """
    native = read_native(case, convention, settings.modalities)
    with case_boundary(case.id, case.place, "prepared"):
        return preprocess_native(native, settings)


def preprocess_native(native: NativeCase, settings: PreprocessingSettings) -> PreprocessedCase:
    """Normalize and resample a case that was checked, turned to RAS and cropped.

    Each modality becomes zero mean and unit standard deviation over its own nonzero voxels, because MR
    intensities have no unit.

    Args:
        native: The case on its own voxels.
        settings: Modalities and voxel size.

    Returns:
        Image, label, reference and geometry; every voxel of the image is finite.

    Raises:
        UnusableFile: An image has no contrast or can't be normalized, or the task grid is too large.
    """
    geometry = Geometry(
        file_shape=native.file_shape,
        file_affine=native.file_affine.tolist(),
        orientation=native.orientation,
        native_spacing_mm=native.spacing_mm,
        crop_start=native.crop_start,
        crop_stop=native.crop_stop,
        task_shape=_task_shape(native.crop_start, native.crop_stop, native.spacing_mm, settings.spacing_mm),
    )
    image = torch.cat([_channel(name, array, geometry.task_shape) for name, array in native.images.items()])
    reference = None if native.reference is None else np.ascontiguousarray(native.reference)
    return PreprocessedCase(
        image=image.clamp(-_FLOAT16_MAX, _FLOAT16_MAX).half().numpy(),
        label=None if reference is None else resample_label(reference, geometry.task_shape),
        reference=reference,
        geometry=geometry,
    )


def _task_shape(start: Shape3D, stop: Shape3D, native: Spacing3D, task: Spacing3D) -> Shape3D:
    """Voxels of the task grid: the whole number that comes closest to the wanted voxel size."""
    x, y, z = (
        last - first if abs(old - new) < _SAME_SPACING_MM else max(1, round((last - first) * old / new))
        for first, last, old, new in zip(start, stop, native, task, strict=True)
    )
    if x * y * z > _MAX_TASK_VOXELS:
        raise UnusableFile(DataCode.TOO_LARGE, f"has {x} x {y} x {z} voxels on the grid of the job")
    return x, y, z


def _channel(name: str, array: NDArray[Any], shape: Shape3D) -> torch.Tensor:
    """One modality on the task grid, `(1, X, Y, Z)`."""
    try:
        channel = resample(torch.from_numpy(_normalize(array))[None], shape)
    except UnusableFile as error:
        raise UnusableFile(error.code, f"has a {name} image that {error.detail}") from error
    if not torch.isfinite(channel).all():
        raise UnusableFile(VolumeCode.NON_FINITE, f"has a {name} image that can't be normalized")
    return channel


def _normalize(array: NDArray[Any]) -> NDArray[np.float32]:
    """Standardize the nonzero voxels; background stays 0."""
    nonzero = array != 0
    normalized = np.zeros(array.shape, dtype=np.float32)
    normalized[nonzero] = standardize(array[nonzero])
    return normalized
