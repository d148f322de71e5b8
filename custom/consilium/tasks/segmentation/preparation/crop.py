"""A case in RAS orientation, cropped to its anatomy, or the readable parts of an unusable one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consilium.data.case import CaseError, ImageFile
from consilium.data.case_boundary import case_boundary
from consilium.data.finding import Finding
from consilium.data.problem_code import ProblemCode
from consilium.tasks.segmentation.nifti.reading import StoredVolume
from consilium.tasks.segmentation.orientation import (
    Shape3D,
    Spacing3D,
    crop_slices,
    orientation_of,
    require_extent,
    spacing_ras,
    to_ras,
)
from consilium.tasks.segmentation.preparation.foreground import anatomy_box
from consilium.tasks.segmentation.preparation.grid import check_grid
from consilium.tasks.segmentation.preparation.normalization import Normalization


@dataclass(frozen=True)
class NativeCase:
    """A case on its own voxels: checked, turned to RAS, and cropped to the anatomy.

    Args:
        images: Input to voxels as stored, `(X, Y, Z)`.
        outside: Input to its foreground voxels that lie outside the crop, apart from the anatomy: `(N,)`.
        reference: Classes, `(X, Y, Z)`; None for an unlabeled case.
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


class Problems:
    """Collects what is wrong with one case."""

    def __init__(self, case_id: str) -> None:
        self.found: list[Finding] = []
        self._case_id = case_id

    def add(self, code: ProblemCode, detail: str, *, image: str | None = None) -> None:
        """Note a problem."""
        self.found.append(Finding(case_id=self._case_id, code=code, detail=detail, image=image))

    def extend(self, found: Iterable[tuple[ProblemCode, str]], *, image: str | None = None) -> None:
        """Note several problems of one image."""
        for code, detail in found:
            self.add(code, detail, image=image)

    @contextmanager
    def collected(self, subject: object, doing: str) -> Iterator[None]:
        """Run something that may fail; see `case_boundary`."""
        try:
            with case_boundary(self._case_id, subject, doing):
                yield
        except CaseError as error:
            self.found.append(error.problem)


def crop_parts(
    images: Mapping[str, StoredVolume],
    label: StoredVolume | None,
    reference: NDArray[np.uint8] | None,
    volumes: Mapping[str, ImageFile],
    normalization: Normalization,
    problems: Problems,
) -> Iterator[NativeCase]:
    """What can be looked at of a case that can't be used: images by the grid on which they lie."""
    rest = dict(images)
    while rest:
        first = next(iter(rest.values()))
        part = {name: one for name, one in rest.items() if not any(check_grid(Path(), one, first))}
        rest = {name: one for name, one in rest.items() if name not in part}
        fits = label is not None and not any(check_grid(Path(), label, first))
        native = crop_case(part, reference if fits else None, volumes, normalization, problems)
        if native is not None:
            yield native


def crop_case(
    placed: Mapping[str, StoredVolume],
    reference: NDArray[np.uint8] | None,
    volumes: Mapping[str, ImageFile],
    normalization: Normalization,
    problems: Problems,
) -> NativeCase | None:
    """Crop images of one grid, those without contrast in the crop left out; None where none is left."""
    while placed:
        native = _native(placed, reference, normalization)
        flat = {
            name: list(normalization.check_crop(volumes[name].path, array))
            for name, array in native.images.items()
        }
        if not any(flat.values()):
            return native
        for name, found in flat.items():
            problems.extend(found, image=name)
        placed = {name: image for name, image in placed.items() if not flat[name]}
    return None


def _native(
    placed: Mapping[str, StoredVolume], reference: NDArray[np.uint8] | None, normalization: Normalization
) -> NativeCase:
    """Turn a sound case to RAS and crop it."""
    first = next(iter(placed.values()))
    orientation = orientation_of(first.affine)
    images = {name: to_ras(image.array, orientation) for name, image in placed.items()}
    classes = None if reference is None else to_ras(reference, orientation)
    # Everything stays in the images' memory order: NIfTI files are column-major, and mixing both is slow.
    foregrounds = (normalization.foreground(image.array) for image in placed.values())
    marked = to_ras(reduce(np.logical_or, foregrounds), orientation)
    labeled = None if classes is None else classes != 0
    start, stop = anatomy_box(marked, labeled, spacing_ras(first.affine))
    require_extent(start, stop, spacing_ras(first.affine))
    crop = crop_slices(start, stop)
    return NativeCase(
        images={name: array[crop].copy(order="K") for name, array in images.items()},
        outside=_foreground_outside(images, marked, crop, normalization),
        reference=None if classes is None else classes[crop].copy(order="K"),
        spacing_mm=spacing_ras(first.affine),
        file_shape=_shape3d(first.array.shape),
        file_affine=first.affine,
        orientation=orientation,
        crop_start=start,
        crop_stop=stop,
    )


def _foreground_outside(
    images: Mapping[str, NDArray[Any]],
    marked: NDArray[np.bool_],
    crop: tuple[slice, ...],
    normalization: Normalization,
) -> dict[str, NDArray[Any]]:
    """Foreground voxels of each image outside the crop; most cases have none."""
    if np.count_nonzero(marked) == np.count_nonzero(marked[crop]):
        return {name: array[:0, 0, 0] for name, array in images.items()}
    rest = marked.copy(order="K")
    rest[crop] = False
    outside = {name: array[rest] for name, array in images.items()}
    return {name: values[normalization.foreground(values)] for name, values in outside.items()}


def _shape3d(shape: tuple[int, ...]) -> Shape3D:
    x, y, z = shape
    return x, y, z
