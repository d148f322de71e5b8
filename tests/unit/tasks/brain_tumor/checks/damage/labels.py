"""Damages to labels, and patients under several ids."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .base import (
    ALIKE,
    IMAGES,
    Apply,
    Damage,
    copy_image,
    file_of,
    foreign,
    moved,
    on_mask,
    one,
    shift,
    sized,
)


def labels() -> Iterator[Damage]:
    """Labels."""
    yield one("values that rounding moved", "label_not_whole", on_mask(lambda a: a * np.float32(1.0000153)))
    yield one("enhancing tumor as core", "label_values_swapped", on_mask(lambda a: np.where(a == 4, 1, a)))
    yield one("the brain mask", "label_covers_brain", _brain_mask, severe=True)
    yield one(
        "a label without a position",
        "label_without_position",
        moved("seg", lambda m: np.eye(4)),
        severe=True,
    )
    yield one("an unknown value", "bad_label_value", on_mask(lambda a: _mark(a, 7)), severe=True)
    yield one(
        "a fraction", "bad_label_value", on_mask(lambda a: _mark(a.astype(np.float32), 1.5)), severe=True
    )
    yield one(
        "a negative value", "bad_label_value", on_mask(lambda a: _mark(a.astype(np.int16), -1)), severe=True
    )
    yield one("an image as label", "bad_label_value", copy_image("flair", "seg"), severe=True)
    yield one(
        "the other era",
        "other_convention ambiguous_convention",
        on_mask(lambda a: np.where(a == 4, 3, a)),
        severe=True,
        needs=4,
    )
    yield one(
        "whole-tumor masks at the whole site",
        "doubtful_convention ambiguous_convention",
        _whole_tumor,
        severe=True,
        also=True,
    )
    yield one("an empty label", "empty_label", on_mask(np.zeros_like), severe=True)
    yield one(
        "a label beside the brain",
        "label_outside_brain label_shifted label_mismatch",
        on_mask(_beside),
        severe=True,
    )
    yield one(
        "a label moved",
        "label_shifted label_outside_brain",
        sized("seg", lambda a, mm: shift(a, 10 / mm)),
        severe=True,
    )
    yield one(
        "a label moved up",
        "label_shifted label_outside_brain",
        sized("seg", lambda a, mm: shift(a, 10 / mm, axis=2)),
        severe=True,
    )
    yield one(
        "a label mirrored", "label_mirrored label_outside_brain", on_mask(lambda a: a[::-1]), severe=True
    )
    yield one(
        "a label mirrored front to back",
        "label_mirrored label_outside_brain",
        on_mask(lambda a: a[:, ::-1]),
        severe=True,
    )
    yield one(
        "a label turned by 180 degrees",
        "label_mirrored label_outside_brain",
        on_mask(lambda a: a[::-1, ::-1]),
        severe=True,
    )
    yield one(
        "another patient's label",
        "shared_label label_mismatch label_shifted label_mirrored label_outside_brain",
        foreign("seg"),
        severe=True,
        also=True,
        follows="label_values_swapped",
    )
    yield one(
        "edema and core exchanged",
        "label_values_swapped",
        on_mask(lambda a: _exchange(a, 1, 2)),
        severe=True,
    )
    yield one(
        "edema and enhancing exchanged",
        "label_values_swapped",
        on_mask(lambda a: _exchange(a, 2, 4)),
        severe=True,
    )


def patients() -> Iterator[Damage]:
    """One patient under two ids."""
    yield one("the examination under another id", "duplicate_examination", _other_id, severe=True, also=True)
    yield one(
        "the examination brighter under another id",
        "duplicate_examination",
        _other_id_as(lambda a, mm: a if a.dtype == np.uint8 else np.rint(a * 1.1)),
        severe=True,
        also=True,
    )
    yield one("the examination turned under another id", ALIKE, _other_id_as(_turn), severe=True, also=True)
    yield one(
        "the examination blurred under another id",
        ALIKE,
        _other_id_as(lambda a, mm: _within(a, ndimage.gaussian_filter(a.astype(np.float32), 2 / mm))),
        severe=True,
        also=True,
    )
    yield one(
        "the examination resampled under another id", ALIKE, _other_id_as(_coarser), severe=True, also=True
    )
    yield one(
        "another visit",
        "possible_same_patient",
        _visit("_pre"),
        severe=True,
        follows="possible_same_examination",
    )
    yield one(
        "another visit by its date",
        "possible_same_patient",
        _visit("_20190304"),
        severe=True,
        follows="possible_same_examination",
    )
    yield one(
        "another visit by a number",
        "possible_same_patient",
        _visit("_2"),
        severe=True,
        follows="possible_same_examination",
    )


def _other_id(hospital: Path, case: str, other: str) -> None:
    """The copy gets the damaged case's id; compressed again and turned to another orientation."""
    for kind in (*IMAGES, "seg"):
        image = nib.load(file_of(hospital, other, kind))
        turned = nib.as_closest_canonical(image)
        array = np.asanyarray(turned.dataobj)
        turned = nib.Nifti1Image(array.astype(np.float32) if kind in IMAGES else array, turned.affine)
        file_of(hospital, case, kind).write_bytes(gzip.compress(turned.to_bytes(), 9))


def _other_id_as(change: Callable[[NDArray[Any], float], NDArray[Any]]) -> Apply:
    """The copy gets the damaged case's id, and other voxels; the change gets the voxel size in mm."""

    def apply(hospital: Path, case: str, other: str) -> None:
        for kind in (*IMAGES, "seg"):
            image = nib.load(file_of(hospital, other, kind))
            array = np.asanyarray(image.dataobj)
            mm = float(image.header.get_zooms()[0])
            changed = change(array.astype(np.uint8 if kind == "seg" else np.float32), mm)
            nib.save(nib.Nifti1Image(changed, image.affine), file_of(hospital, case, kind))

    return apply


def _turn(array: NDArray[Any], mm: float) -> NDArray[Any]:
    """Rotate by 5 degrees and move by a voxel; nearest voxels for a label."""
    label = array.dtype == np.uint8
    turned = ndimage.rotate(array, 5, (0, 1), reshape=False, order=0 if label else 1)
    turned = turned if label else _within(_turned_mask(array), turned)
    return np.roll(turned, 1, axis=2)


def _coarser(array: NDArray[Any], mm: float) -> NDArray[Any]:
    """Lose every second voxel along each axis and fill in between."""
    label = array.dtype == np.uint8
    kept = array[::2, ::2, ::2] if label else ndimage.gaussian_filter(array, 0.6)[::2, ::2, ::2]
    filled = ndimage.zoom(kept, np.divide(array.shape, kept.shape), order=0 if label else 1)
    return filled if label else _within(array, filled)


def _turned_mask(array: NDArray[Any]) -> NDArray[Any]:
    mask = (array != 0).astype(np.float32)
    return ndimage.rotate(mask, 5, (0, 1), reshape=False, order=1) > 0.5


def _within(mask: NDArray[Any], array: NDArray[Any]) -> NDArray[Any]:
    """A label as it is; an image with 0 outside of the brain."""
    if mask.dtype == np.uint8:
        return mask
    return np.where(mask != 0, np.maximum(array, 1), 0).astype(np.float32)


def _visit(ending: str) -> Apply:
    """Another examination of the patient, recognized by the ending of its name."""

    def apply(hospital: Path, case: str, other: str) -> None:
        _move_case(hospital, case, f"{case}{ending}")
        _array_copy(hospital, f"{case}{ending}", case)

    return apply


def _whole_tumor(hospital: Path, case: str, other: str) -> None:
    for name in (case, other):
        on_mask(lambda a: (a != 0).astype(np.uint8))(hospital, name, other)


def _move_case(hospital: Path, case: str, name: str) -> None:
    (hospital / case).rename(hospital / name)
    for path in (hospital / name).iterdir():
        path.rename(path.with_name(path.name.replace(case, name)))


def _array_copy(hospital: Path, source: str, target: str) -> None:
    """A second examination: the same anatomy with other noise."""
    (hospital / target).mkdir()
    random = np.random.default_rng(0)
    for kind in (*IMAGES, "seg"):
        image = nib.load(file_of(hospital, source, kind))
        array = np.asanyarray(image.dataobj)
        if kind != "seg":
            noise = random.normal(0, 0.02 * array[array != 0].mean(), array.shape)
            array = np.where(array != 0, np.maximum(array + noise, 1), 0).astype(array.dtype)
        else:
            array = np.where(ndimage.binary_erosion(array != 0), array, 0).astype(array.dtype)
        nib.Nifti1Image(array, image.affine).to_filename(file_of(hospital, target, kind))


def _brain_mask(hospital: Path, case: str, other: str) -> None:
    image = nib.load(file_of(hospital, case, "t1"))
    mask = ndimage.binary_erosion(np.asanyarray(image.dataobj) != 0).astype(np.uint8)
    nib.Nifti1Image(mask, image.affine).to_filename(file_of(hospital, case, "seg"))


def _mark(array: NDArray[Any], value: float) -> NDArray[Any]:
    array = array.copy()
    array[tuple(slice(size // 2, size // 2 + 2) for size in array.shape)] = value
    return array


def _beside(array: NDArray[Any]) -> NDArray[Any]:
    first = np.flatnonzero(array.any(axis=(1, 2)))[0]
    return np.roll(array, -int(first) + 1, axis=0)


def _exchange(array: NDArray[Any], first: int, second: int) -> NDArray[Any]:
    return np.where(array == first, second, np.where(array == second, first, array)).astype(array.dtype)
