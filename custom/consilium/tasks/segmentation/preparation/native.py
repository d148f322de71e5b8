"""A case on its own voxels, and the problems that make its files unusable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consilium.data.case import Case, ImageFile
from consilium.data.case_preparation import Examination, ReadBytes
from consilium.data.codes import DataCode
from consilium.errors import DataError
from consilium.tasks.segmentation.codes import VolumeCode
from consilium.tasks.segmentation.labels import Labels, to_classes
from consilium.tasks.segmentation.nifti.reading import StoredVolume, pick_3d, read_file, read_nifti
from consilium.tasks.segmentation.preparation.crop import NativeCase, Problems, crop_case, crop_parts
from consilium.tasks.segmentation.preparation.foreground import extents
from consilium.tasks.segmentation.preparation.grid import check_grid
from consilium.tasks.segmentation.preparation.normalization import Normalization


def examine(
    case: Case,
    convention: str | None,
    inputs: Sequence[str],
    *,
    labels: Labels,
    normalization: Normalization,
    read: ReadBytes = read_file,
) -> Examination[NativeCase]:
    """Read a case and say everything that is wrong with its files, not only the first thing.

    Args:
        case: The case.
        convention: What the label's values mean; None without a label, or where they have but one meaning.
        inputs: Names of the images to read.
        labels: What label values mean.
        normalization: What of an image is foreground, and what makes it useless.
        read: Returns the content of a file, or raises `UnusableFile`.

    Returns:
        The files, the problems and, where there is none, the case on its own voxels.

    Raises:
        ValueError: A labeled case came without a convention.
    """
    if case.labeled and convention is None and labels.conventions:
        raise ValueError(f"case {case.id} has a label but its convention is not given")
    problems = Problems(case.id)
    for name in inputs:
        if name not in case.images:
            problems.add(DataCode.MISSING_IMAGE, f"There is no {name} image.", image=name)
    volumes = {name: case.images[name] for name in inputs if name in case.images}
    drawn = case.target_file
    files, placed = _read(case, volumes, problems, read)
    label = _read_label(case, files, problems)
    reference = None
    if drawn is not None and label is not None:
        with problems.collected(drawn.path, "translated"):
            reference = _to_classes(label.array, labels, convention, problems)
    sound: dict[str, StoredVolume] = {}
    for name, image in placed.items():
        before = len(problems.found)
        with problems.collected(volumes[name].path, "checked"):
            problems.extend(normalization.check_image(volumes[name].path, image.array), image=name)
        if len(problems.found) == before:
            sound[name] = image
    grids = {volumes[name].path: image for name, image in placed.items()}
    first = next(iter(grids.values()), label)
    for path, image in grids.items():
        with problems.collected(path, "compared"):
            problems.extend(check_grid(path, image, first))
    if drawn is not None and label is not None:
        with problems.collected(drawn.path, "compared"):
            problems.extend(check_grid(drawn.path, label, first, label=True))
    native: NativeCase | None = None
    parts: tuple[NativeCase, ...] = ()
    if not problems.found:
        with problems.collected(f"the case with {next(iter(grids))}", "cropped"):
            native = crop_case(
                {name: placed[name] for name in inputs}, reference, volumes, normalization, problems
            )
        if problems.found:
            native, parts = None, (native,) if native is not None else ()
    else:
        with problems.collected(f"the case with {next(iter(files), case.id)}", "cropped"):
            parts = tuple(crop_parts(sound, label, reference, volumes, normalization, problems))
    return Examination(tuple(problems.found), native, parts, files)


def _read(
    case: Case, volumes: Mapping[str, ImageFile], problems: Problems, read: ReadBytes
) -> tuple[dict[Path, StoredVolume], dict[str, StoredVolume]]:
    """The files that can be read, each once, as one may hold all modalities, and the images in them."""
    files: dict[Path, StoredVolume] = {}
    placed: dict[str, StoredVolume] = {}
    wanted = [*volumes.values(), *([case.target_file] if case.target_file else [])]
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


def _read_label(case: Case, files: Mapping[Path, StoredVolume], problems: Problems) -> StoredVolume | None:
    drawn = case.target_file
    if drawn is None or drawn.path not in files:
        return None
    with problems.collected(drawn.path, "read"):
        return pick_3d(files[drawn.path], drawn, case_id=case.id)
    return None


def _to_classes(
    array: NDArray[Any], labels: Labels, convention: str | None, problems: Problems
) -> NDArray[np.uint8] | None:
    """Translate what is marked; the rest, most of a volume, is background in every convention."""
    classes = np.zeros_like(array, dtype=np.uint8)
    marked = array != 0
    if marked.any():
        box = tuple(slice(first, last + 1) for first, last in extents(marked))
        try:
            classes[box] = to_classes(array[box], labels.values(convention), convention or "this problem")
        except DataError as error:
            problems.add(VolumeCode.BAD_LABEL_VALUE, str(error))
            return None
    return classes
