"""A case on its own voxels: what makes its files unusable is found here, in one reading."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consilium.data.case import Case, CaseError, CaseProblem, Volume
from consilium.data.case_boundary import case_boundary
from consilium.data.codes import DataCode, ProblemCode
from consilium.errors import DataError
from consilium.tasks.brain_tumor.labels import LabelConvention
from consilium.tasks.segmentation.codes import VolumeCode
from consilium.tasks.segmentation.contrast import check_crop, check_voxels
from consilium.tasks.segmentation.foreground import extents, head_box
from consilium.tasks.segmentation.orientation import (
    Shape3D,
    Spacing3D,
    crop_slices,
    orientation_of,
    require_extent,
    spacing_ras,
    to_ras,
)
from consilium.tasks.segmentation.reading import ReadBytes, StoredVolume, pick_3d, read_file, read_nifti

# Images of one case may disagree in position by this share of a voxel: rounding does, misregistration does
# not.
_AFFINE_TOLERANCE_VOXELS = 0.25


@dataclass(frozen=True)
class NativeCase:
    """A case on its own voxels: checked, turned to RAS, and cropped to the head.

    Args:
        images: Modality to voxels as stored, `(X, Y, Z)`; 0 is background.
        outside: Modality to its nonzero voxels that lie outside the crop, apart from the head: `(N,)`.
        reference: Tissues, `(X, Y, Z)`; None for an unlabeled case.
        spacing_mm: Voxel size along R, A and S.
        file_shape: Voxels of the file.
        file_affine: Voxel index to position in mm, of the file.
        orientation: Axis codes of the file.
        crop_start: First voxel of the crop in the whole RAS volume.
        crop_stop: One past its last.
    """

    images: Mapping[str, NDArray[Any]]
    outside: Mapping[str, NDArray[Any]]
    reference: NDArray[np.uint8] | None
    spacing_mm: Spacing3D
    file_shape: Shape3D
    file_affine: NDArray[np.float64]
    orientation: str
    crop_start: Shape3D
    crop_stop: Shape3D


@dataclass(frozen=True)
class Examination:
    """All that one reading of a case's files found.

    Args:
        files: What could be read, by path.
        problems: Everything that makes the case unusable, in the order in which it was found.
        native: The case, where nothing does.
        parts: Where something does, what can be looked at all the same: images that lie on one grid, with the
            label, if it lies there, too.
    """

    files: Mapping[Path, StoredVolume]
    problems: tuple[CaseProblem, ...]
    native: NativeCase | None
    parts: tuple[NativeCase, ...] = ()

    def require_native(self) -> NativeCase:
        """The case on its own voxels.

        Raises:
            CaseError: It can't be used.
        """
        if self.native is None:
            raise CaseError(self.problems[0])
        return self.native


def read_native(case: Case, convention: LabelConvention | None, modalities: Sequence[str]) -> NativeCase:
    """Read and check a case; the crop holds the head and every labeled voxel.

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
    return examine(case, convention, modalities).require_native()


def examine(
    case: Case,
    convention: LabelConvention | None,
    modalities: Sequence[str],
    *,
    read: ReadBytes = read_file,
) -> Examination:
    """Read a case and say everything that is wrong with its files, not only the first thing.

    Args:
        case: The case.
        convention: What the label's values mean; may be None only for an unlabeled case.
        modalities: Canonical names of the images to read.
        read: Returns the content of a file, or raises `UnusableFile`.

    Returns:
        The files, the problems and, where there is none, the case on its own voxels.

    Raises:
        ValueError: A labeled case came without a convention.
    """
    if case.label is not None and convention is None:
        raise ValueError(f"case {case.id} has a label but its convention is not given")
    problems = _Problems(case.id)
    for name in modalities:
        if name not in case.images:
            problems.add(DataCode.MISSING_MODALITY, f"There is no {name} image.", modality=name)
    volumes = {name: case.images[name] for name in modalities if name in case.images}
    files, placed = _read(case, volumes, problems, read)
    label = _read_label(case, files, problems)
    reference = None
    if case.label is not None and label is not None and convention is not None:
        with problems.collected(case.label.path, "translated"):
            reference = _to_tissue(label.array, convention, problems)
    sound: dict[str, StoredVolume] = {}
    for name, image in placed.items():
        before = len(problems.found)
        with problems.collected(volumes[name].path, "checked"):
            problems.extend(check_voxels(volumes[name].path, image.array), modality=name)
        if len(problems.found) == before:
            sound[name] = image
    grids = {volumes[name].path: image for name, image in placed.items()}
    first = next(iter(grids.values()), label)
    for path, image in grids.items():
        with problems.collected(path, "compared"):
            problems.extend(_check_grid(path, image, first))
    if case.label is not None and label is not None:
        with problems.collected(case.label.path, "compared"):
            problems.extend(_check_grid(case.label.path, label, first, label=True))
    native: NativeCase | None = None
    parts: tuple[NativeCase, ...] = ()
    if not problems.found:
        with problems.collected(f"the case with {next(iter(grids))}", "cropped"):
            native = _crop({name: placed[name] for name in modalities}, reference, volumes, problems)
        if problems.found:
            native, parts = None, (native,) if native is not None else ()
    else:
        with problems.collected(f"the case with {next(iter(files), case.id)}", "cropped"):
            parts = tuple(_parts(sound, label, reference, volumes, problems))
    return Examination(files, tuple(problems.found), native, parts)


class _Problems:
    """Collects what is wrong with one case."""

    def __init__(self, case_id: str) -> None:
        self.found: list[CaseProblem] = []
        self._case_id = case_id

    def add(self, code: ProblemCode, detail: str, *, modality: str | None = None) -> None:
        self.found.append(CaseProblem(self._case_id, code, detail, modality))

    def extend(self, found: Iterable[tuple[ProblemCode, str]], *, modality: str | None = None) -> None:
        for code, detail in found:
            self.add(code, detail, modality=modality)

    @contextmanager
    def collected(self, subject: object, doing: str) -> Iterator[None]:
        """Run something that may fail; see `case_boundary`."""
        try:
            with case_boundary(self._case_id, subject, doing):
                yield
        except CaseError as error:
            self.found.append(error.problem)


def _read(
    case: Case, volumes: Mapping[str, Volume], problems: _Problems, read: ReadBytes
) -> tuple[dict[Path, StoredVolume], dict[str, StoredVolume]]:
    """The files that can be read, each once, as one may hold all modalities, and the images in them."""
    files: dict[Path, StoredVolume] = {}
    placed: dict[str, StoredVolume] = {}
    wanted = [*volumes.values(), *([case.label] if case.label else [])]
    for path in dict.fromkeys(volume.path for volume in wanted):
        with problems.collected(path, "read"):
            files[path] = read_nifti(path, case_id=case.id, read=read)
    for name, volume in volumes.items():
        if volume.path in files:
            with problems.collected(volume.path, "read"):
                placed[name] = pick_3d(files[volume.path], volume, case_id=case.id)
            if name not in placed and volume.channel is not None:
                break  # the other channels of the file would say the same
    return files, placed


def _read_label(case: Case, files: Mapping[Path, StoredVolume], problems: _Problems) -> StoredVolume | None:
    if case.label is None or case.label.path not in files:
        return None
    with problems.collected(case.label.path, "read"):
        return pick_3d(files[case.label.path], case.label, case_id=case.id)
    return None


def _to_tissue(
    array: NDArray[Any], convention: LabelConvention, problems: _Problems
) -> NDArray[np.uint8] | None:
    """Translate what is marked; the rest, most of a volume, is background in every convention."""
    tissues = np.zeros_like(array, dtype=np.uint8)
    marked = array != 0
    if marked.any():
        box = tuple(slice(first, last + 1) for first, last in extents(marked))
        try:
            tissues[box] = convention.to_tissue(array[box])
        except DataError as error:
            problems.add(VolumeCode.BAD_LABEL_VALUE, str(error))
            return None
    return tissues


def _check_grid(
    path: Path, placed: StoredVolume, first: StoredVolume | None, *, label: bool = False
) -> Iterator[tuple[ProblemCode, str]]:
    """Whether an image or label has another shape or position than the first image."""
    if first is None:
        return
    shape = placed.array.shape
    if shape != first.array.shape:
        yield (
            VolumeCode.SHAPE_MISMATCH,
            f"{path} has the shape {shape}, the first image {first.array.shape}.",
        )
        return
    corners = np.stack([*np.meshgrid(*((0, size - 1) for size in shape)), np.ones((2, 2, 2))]).reshape(4, 8)
    shift = np.linalg.norm(((placed.affine - first.affine) @ corners)[:3], axis=0).max()
    if not shift > _AFFINE_TOLERANCE_VOXELS * min(spacing_ras(first.affine)):
        return
    if label and _has_no_position(placed):
        yield VolumeCode.LABEL_WITHOUT_POSITION, f"{path} has the images' shape and no position of its own."
    else:
        yield VolumeCode.AFFINE_MISMATCH, f"{path} lies up to {shift:.2f} mm away from the first image."


def _has_no_position(placed: StoredVolume) -> bool:
    """Whether a file states no position, or the one that software writes where it is given none.

    An array saved with an identity matrix has voxels of 1 mm and its corner at the origin; ITK, whose axes
    point to the left and to the back, writes -1, -1, 1 for it.
    """
    if not int(placed.header["sform_code"]) and not int(placed.header["qform_code"]):
        return True
    return any(np.allclose(placed.affine, np.diag(signs)) for signs in ((1, 1, 1, 1), (-1, -1, 1, 1)))


def _parts(
    images: Mapping[str, StoredVolume],
    label: StoredVolume | None,
    reference: NDArray[np.uint8] | None,
    volumes: Mapping[str, Volume],
    problems: _Problems,
) -> Iterator[NativeCase]:
    """What can be looked at of a case that can't be used: images by the grid on which they lie."""
    rest = dict(images)
    while rest:
        first = next(iter(rest.values()))
        part = {name: one for name, one in rest.items() if not any(_check_grid(Path(), one, first))}
        rest = {name: one for name, one in rest.items() if name not in part}
        fits = label is not None and not any(_check_grid(Path(), label, first))
        native = _crop(part, reference if fits else None, volumes, problems)
        if native is not None:
            yield native


def _crop(
    placed: Mapping[str, StoredVolume],
    reference: NDArray[np.uint8] | None,
    volumes: Mapping[str, Volume],
    problems: _Problems,
) -> NativeCase | None:
    """Crop images of one grid, those without contrast in the crop left out; None where none is left."""
    while placed:
        native = _native(placed, reference)
        flat = {name: list(check_crop(volumes[name].path, array)) for name, array in native.images.items()}
        if not any(flat.values()):
            return native
        for name, found in flat.items():
            problems.extend(found, modality=name)
        placed = {name: image for name, image in placed.items() if not flat[name]}
    return None


def _native(placed: Mapping[str, StoredVolume], reference: NDArray[np.uint8] | None) -> NativeCase:
    """Turn a sound case to RAS and crop it."""
    first = next(iter(placed.values()))
    orientation = orientation_of(first.affine)
    images = {name: to_ras(image.array, orientation) for name, image in placed.items()}
    tissues = None if reference is None else to_ras(reference, orientation)
    # Everything stays in the images' memory order: NIfTI files are column-major, and mixing both is slow.
    marked = to_ras(reduce(np.logical_or, (image.array != 0 for image in placed.values())), orientation)
    labeled = None if tissues is None else tissues != 0
    start, stop = head_box(marked, labeled, spacing_ras(first.affine))
    require_extent(start, stop, spacing_ras(first.affine))
    crop = crop_slices(start, stop)
    return NativeCase(
        images={name: array[crop].copy(order="K") for name, array in images.items()},
        outside=_nonzero_outside(images, marked, crop),
        reference=None if tissues is None else tissues[crop].copy(order="K"),
        spacing_mm=spacing_ras(first.affine),
        file_shape=_shape3d(first.array.shape),
        file_affine=first.affine,
        orientation=orientation,
        crop_start=start,
        crop_stop=stop,
    )


def _nonzero_outside(
    images: Mapping[str, NDArray[Any]], marked: NDArray[np.bool_], crop: tuple[slice, ...]
) -> dict[str, NDArray[Any]]:
    """Nonzero voxels of each image outside the crop; most cases have none."""
    if np.count_nonzero(marked) == np.count_nonzero(marked[crop]):
        return {name: array[:0, 0, 0] for name, array in images.items()}
    rest = marked.copy(order="K")
    rest[crop] = False
    outside = {name: array[rest] for name, array in images.items()}
    return {name: values[values != 0] for name, values in outside.items()}


def _shape3d(shape: tuple[int, ...]) -> Shape3D:
    x, y, z = shape
    return x, y, z
