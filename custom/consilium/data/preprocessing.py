"""Deterministic preprocessing: the files of a case to the arrays that training, scoring and prediction use.

It happens once a case; see `consilium.data.cache`. Augmentation is not part of it.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from consilium.data.case import Case, CaseError, CaseProblem, ProblemCode, Volume
from consilium.data.geometry import (
    Geometry,
    Shape3D,
    Spacing3D,
    crop_slices,
    orientation_of,
    spacing_ras,
    to_ras,
)
from consilium.data.labels import LabelConvention
from consilium.data.reading import StoredVolume, pick_3d, read_nifti
from consilium.data.resampling import resample, resample_label
from consilium.errors import DataError

__all__ = [
    "CaseError",
    "Geometry",
    "NativeCase",
    "PreprocessedCase",
    "PreprocessingSettings",
    "preprocess",
    "read_native",
    "standardize",
]

PREPROCESSING_VERSION: Final = 1
"""Raised when the same files and settings would give other arrays, so that no cache mixes both."""

_MARGIN_VOXELS = 2
# Spacings closer than this are the same one, rounded differently in a header.
_SAME_SPACING_MM = 1e-3
# Images of one case may disagree in position by this share of a voxel: rounding does, misregistration does
# not.
_AFFINE_TOLERANCE_VOXELS = 0.25
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


@dataclass(frozen=True)
class NativeCase:
    """A case on its own voxels: checked, turned to RAS, and cropped to where there is anything.

    Args:
        images: Modality to voxels as stored, `(X, Y, Z)`; 0 is background.
        reference: Tissues, `(X, Y, Z)`; None for an unlabeled case.
        spacing_mm: Voxel size along R, A and S.
        file_shape: Voxels of the file.
        file_affine: Voxel index to position in mm, of the file.
        orientation: Axis codes of the file.
        crop_start: First voxel of the crop in the whole RAS volume.
        crop_stop: One past its last.
    """

    images: Mapping[str, NDArray[Any]]
    reference: NDArray[np.uint8] | None
    spacing_mm: Spacing3D
    file_shape: Shape3D
    file_affine: NDArray[np.float64]
    orientation: str
    crop_start: Shape3D
    crop_stop: Shape3D


def read_native(case: Case, convention: LabelConvention | None, modalities: Sequence[str]) -> NativeCase:
    """Read and check a case; the crop holds every voxel that is nonzero in any modality or in the label.

    Args:
        case: The case.
        convention: What the label's values mean; may be None only for an unlabeled case.
        modalities: Canonical names of the images to read.

    Returns:
        Images, reference and where they lie.

    Raises:
        CaseError: The case can't be used.
        ValueError: A labeled case came without a convention.
    """
    if case.label is not None and convention is None:
        raise ValueError(f"case {case.id} has a label but its convention is not given")
    images, label, frame = _read(case, modalities)
    reference = None if label is None or convention is None else _tissues(case, label, convention)

    marked = np.zeros(frame.shape, dtype=bool)
    for name, array in images.items():
        marked |= _anatomy(case, case.images[name], array)
    if reference is not None:
        marked |= reference != 0
    start, stop = _bounding_box(marked)
    crop = crop_slices(start, stop)
    return NativeCase(
        images={name: array[crop] for name, array in images.items()},
        reference=None if reference is None else np.ascontiguousarray(reference[crop]),
        spacing_mm=spacing_ras(frame.affine),
        file_shape=frame.file_shape,
        file_affine=frame.affine,
        orientation=frame.orientation,
        crop_start=start,
        crop_stop=stop,
    )


def preprocess(
    case: Case, convention: LabelConvention | None, settings: PreprocessingSettings
) -> PreprocessedCase:
    """Check, orient, crop, normalize and resample a case; see `read_native` for its errors.

    Each modality becomes zero mean and unit standard deviation over its own nonzero voxels, because MR
    intensities have no unit.

    Args:
        case: The case.
        convention: What the label's values mean; may be None only for an unlabeled case.
        settings: Modalities and voxel size.

    Returns:
        Image, label, reference and geometry.
    """
    native = read_native(case, convention, settings.modalities)
    geometry = Geometry(
        file_shape=native.file_shape,
        file_affine=native.file_affine.tolist(),
        orientation=native.orientation,
        native_spacing_mm=native.spacing_mm,
        crop_start=native.crop_start,
        crop_stop=native.crop_stop,
        task_shape=_task_shape(native.crop_start, native.crop_stop, native.spacing_mm, settings.spacing_mm),
    )
    normalized = (torch.from_numpy(_normalize(array))[None] for array in native.images.values())
    image = torch.cat([resample(channel, geometry.task_shape) for channel in normalized])
    reference = native.reference
    return PreprocessedCase(
        image=image.clamp(-_FLOAT16_MAX, _FLOAT16_MAX).half().numpy(),
        label=None if reference is None else resample_label(reference, geometry.task_shape),
        reference=reference,
        geometry=geometry,
    )


@dataclass(frozen=True)
class _Frame:
    """The grid that all images of a case share: in the file, and turned to RAS."""

    file_shape: Shape3D
    affine: NDArray[np.float64]
    orientation: str
    shape: Shape3D


def _read(
    case: Case, modalities: Sequence[str]
) -> tuple[dict[str, NDArray[Any]], NDArray[Any] | None, _Frame]:
    """The images and the label as RAS views, checked to share one grid, and that grid."""
    missing = [name for name in modalities if name not in case.images]
    if missing:
        raise _problem(case, ProblemCode.MISSING_MODALITY, f"There is no {', '.join(missing)} image.")
    volumes = [case.images[name] for name in modalities]
    wanted = [*volumes, case.label] if case.label else volumes
    # Decathlon keeps all modalities in one file: read it once.
    stored = {path: read_nifti(path, case_id=case.id) for path in dict.fromkeys(v.path for v in wanted)}
    placed = [pick_3d(stored[volume.path], volume, case_id=case.id) for volume in wanted]
    first = placed[0]
    for volume, other in zip(wanted, placed, strict=True):
        _check_grid(case, volume, other, first)
    orientation = orientation_of(first.affine)
    turned = [to_ras(other.array, orientation) for other in placed]
    frame = _Frame(_shape3d(first.array.shape), first.affine, orientation, _shape3d(turned[0].shape))
    label = turned.pop() if case.label else None
    return dict(zip(modalities, turned, strict=True)), label, frame


def _check_grid(case: Case, volume: Volume, placed: StoredVolume, first: StoredVolume) -> None:
    """Refuse an image of another shape or position than the first."""
    shape = placed.array.shape
    if shape != first.array.shape:
        detail = f"{volume.path} has the shape {shape}, the first image {first.array.shape}."
        raise _problem(case, ProblemCode.SHAPE_MISMATCH, detail)
    corners = np.stack([*np.meshgrid(*((0, size - 1) for size in shape)), np.ones((2, 2, 2))]).reshape(4, 8)
    shift = np.linalg.norm(((placed.affine - first.affine) @ corners)[:3], axis=0).max()
    if shift > _AFFINE_TOLERANCE_VOXELS * min(spacing_ras(first.affine)):
        detail = f"{volume.path} lies up to {shift:.2f} mm away from the first image."
        raise _problem(case, ProblemCode.AFFINE_MISMATCH, detail)


def _tissues(case: Case, label: NDArray[Any], convention: LabelConvention) -> NDArray[np.uint8]:
    try:
        return convention.to_tissue(label)
    except DataError as error:
        raise _problem(case, ProblemCode.BAD_LABEL_VALUE, str(error)) from error


def _anatomy(case: Case, volume: Volume, array: NDArray[Any]) -> NDArray[np.bool_]:
    """Where an image is nonzero; refuses one without any contrast there."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        count = array.size - int(np.isfinite(array).sum())
        detail = f"{volume.path} has {count} voxels that are NaN or infinite."
        raise _problem(case, ProblemCode.NON_FINITE, detail)
    nonzero: NDArray[np.bool_] = array != 0
    values = array[nonzero]
    if values.size == 0 or values.min() == values.max():
        seen = f"every nonzero voxel is {values[0]}" if values.size else "every voxel is 0"
        raise _problem(case, ProblemCode.CONSTANT_IMAGE, f"In {volume.path} {seen}.")
    return nonzero


def _bounding_box(marked: NDArray[np.bool_]) -> tuple[Shape3D, Shape3D]:
    """First and one-past-last index of what is marked, plus the margin where the volume has room for it."""
    bounds = list(_extents(marked))
    start = [max(first - _MARGIN_VOXELS, 0) for first, _ in bounds]
    stop = [
        min(last + 1 + _MARGIN_VOXELS, size) for (_, last), size in zip(bounds, marked.shape, strict=True)
    ]
    return _shape3d(tuple(start)), _shape3d(tuple(stop))


def _extents(marked: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        indices = np.flatnonzero(marked.any(axis=others))
        yield int(indices[0]), int(indices[-1])


def _task_shape(start: Shape3D, stop: Shape3D, native: Spacing3D, task: Spacing3D) -> Shape3D:
    """Voxels of the task grid: the whole number that comes closest to the wanted voxel size."""
    return _shape3d(
        tuple(
            last - first if abs(old - new) < _SAME_SPACING_MM else max(1, round((last - first) * old / new))
            for first, last, old, new in zip(start, stop, native, task, strict=True)
        )
    )


def standardize(values: NDArray[Any]) -> NDArray[np.float64]:
    """Bring a modality's nonzero voxels to zero mean and unit standard deviation: what the network sees."""
    exact = values.astype(np.float64)
    exact -= exact.mean()
    exact /= exact.std()
    return exact


def _normalize(array: NDArray[Any]) -> NDArray[np.float32]:
    """Standardize the nonzero voxels; background stays 0."""
    nonzero = array != 0
    normalized = np.zeros(array.shape, dtype=np.float32)
    normalized[nonzero] = standardize(array[nonzero])
    return normalized


def _shape3d(shape: tuple[int, ...]) -> Shape3D:
    x, y, z = shape
    return x, y, z


def _problem(case: Case, code: ProblemCode, detail: str) -> CaseError:
    return CaseError(CaseProblem(case.id, code, detail))
