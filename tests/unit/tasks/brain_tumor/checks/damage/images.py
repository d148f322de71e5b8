"""Damages to intensities, and images under wrong names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .base import (
    IMAGES,
    Apply,
    Damage,
    copy_image,
    file_of,
    foreign,
    on_array,
    on_each,
    on_images,
    one,
    shift,
    sized,
)


def intensities() -> Iterator[Damage]:
    """Intensities."""
    yield one("NaN", "non_finite", on_array("t1ce", lambda a: _put(a.astype(np.float32), np.nan)))
    yield one("infinity", "non_finite", on_array("t2", lambda a: _put(a.astype(np.float32), np.inf)))
    yield one("one value", "constant_image", on_array("flair", lambda a: (a != 0).astype(np.int16)))
    yield one("nothing", "constant_image", on_array("t1", np.zeros_like))
    yield one(
        "negative",
        "negative_intensity",
        on_array("t1", lambda a: np.where(a != 0, a - int(np.median(a[a != 0])), 0).astype(np.int16)),
    )
    yield one(
        "clipped",
        "clipped_intensity",
        on_array("t2", lambda a: np.minimum(a, int(np.percentile(a[a != 0], 97)))),
    )
    yield one(
        "eight bits", "eight_bit", on_array("flair", lambda a: np.rint(a / a.max() * 255).astype(np.uint8))
    )
    yield one(
        "eight bits, scaled",
        "eight_bit",
        on_array("t1", lambda a: (np.rint(a / a.max() * 200) * 3.7).astype(np.float32)),
    )
    yield one("noise around the head", "nonzero_background", on_images(_noise))
    yield one(
        "normalized with its background",
        "nonzero_background",
        on_images(lambda a: (a / a.std() - 0.7).astype(np.float32)),
        follows="negative_intensity",
    )
    yield one("skull and scalp", "not_skull_stripped", on_each(IMAGES, lambda kind: sized(kind, _scalp)))
    yield from hot_voxels()
    yield one("bright voxels in the background", "stray_voxels", on_array("t2", _stray))


def modalities() -> Iterator[Damage]:
    """Images of another contrast, another patient or another place."""
    yield one("T1 for T1ce", "duplicate_modality", copy_image("t1", "t1ce"))
    yield one("T1 times 1.7 for T1ce", "duplicate_modality", _scaled_copy("t1", "t1ce", 1.7))
    yield one("FLAIR in eight bits for T2", "duplicate_modality", _scaled_copy("flair", "t2", None))
    yield one("T2 for FLAIR", "duplicate_modality", copy_image("t2", "flair"))
    for first, second in (
        ("t1", "t2"),
        ("t2", "flair"),
        ("t1", "flair"),
        ("t1", "t1ce"),
        ("t1ce", "flair"),
        ("t1ce", "t2"),
    ):
        yield one(
            f"{first} and {second} swapped", "swapped_modalities", _rename({first: second, second: first})
        )
    yield one(
        "all four in another order",
        "swapped_modalities",
        _rename({"flair": "t1", "t1": "t1ce", "t1ce": "t2", "t2": "flair"}),
    )
    yield one("an image moved", "not_registered", sized("t2", lambda a, mm: shift(a, 8 / mm)))
    yield one("an image mirrored", "not_registered", on_array("t1ce", lambda a: a[::-1]))
    yield one("an image upside down", "not_registered", on_array("flair", lambda a: a[:, :, ::-1]))
    yield one(
        "an image turned",
        "not_registered",
        on_array("t1", lambda a: ndimage.rotate(a, 12, (0, 1), reshape=False, order=1)),
    )
    yield one("another patient's image", "shared_image not_registered", foreign("t2"), severe=True, also=True)


def hot_voxels() -> Iterator[Damage]:
    """Ways in which a few voxels get values that no tissue has."""

    def hot(name: str, apply: Apply, **options: Any) -> Damage:
        follows = frozenset({"stray_voxels", "odd_slice", "negative_intensity", "clipped_intensity"})
        return Damage(name, frozenset({"hot_voxels"}), apply, follows=follows, **options)

    yield hot("hot voxels in the brain", on_array("t1", lambda a: _spots(a, a != 0, 60, 65530)))
    yield hot("a hot voxel", on_array("t2", lambda a: _spots(a, a != 0, 1, 65530)))
    yield hot("hot voxels in the background", on_array("flair", lambda a: _spots(a, a == 0, 30, 32767)))
    yield hot("hot voxels inside and outside", on_array("t1ce", lambda a: _spots(a, a == a, 90, 32000)))
    yield hot("dark voxels wrapped", on_array("t2", _wrap))
    yield hot("a rim at the largest value", on_array("t1ce", _saturate_rim))
    yield hot("a spiked slice", on_array("flair", _spike))
    yield hot("far negative voxels", on_array("t1", lambda a: _spots(a, a != 0, 40, -32768)))
    yield hot(
        "hot voxels in floats",
        on_array("flair", lambda a: _spots(a.astype(np.float32) / 4096, a != 0, 60, 1e6)),
    )


def _scaled_copy(source: str, target: str, factor: float | None) -> Apply:
    """One image under two names, multiplied; without a factor so that its brightest voxel is 255."""

    def apply(hospital: Path, case: str, other: str) -> None:
        image = nib.load(file_of(hospital, case, source))
        array = np.asanyarray(image.dataobj)
        scaled = np.rint(array * (factor or 255 / array.max())).astype(np.int16)
        nib.Nifti1Image(scaled, image.affine).to_filename(file_of(hospital, case, target))

    return apply


def _rename(names: dict[str, str]) -> Apply:
    def apply(hospital: Path, case: str, other: str) -> None:
        content = {kind: file_of(hospital, case, kind).read_bytes() for kind in names}
        for kind, target in names.items():
            file_of(hospital, case, target).write_bytes(content[kind])

    return apply


def _put(array: NDArray[Any], value: float) -> NDArray[Any]:
    array[tuple(size // 2 for size in array.shape)] = value
    return array


def _noise(array: NDArray[Any]) -> NDArray[Any]:
    noise = np.random.default_rng(0).integers(1, 20, array.shape)
    return np.where(array == 0, noise, array).astype(np.int16)


def _scalp(array: NDArray[Any], voxel_mm: float) -> NDArray[Any]:
    """8 mm of a dark skull and 10 mm of bright scalp around the brain."""
    outside = ~ndimage.binary_fill_holes(array != 0)
    distance = ndimage.distance_transform_edt(outside, sampling=(voxel_mm,) * 3)
    level = float(np.median(array[array != 0]))
    head = array.astype(np.float32)
    head[(distance > 0) & (distance <= 8)] = 0.15 * level
    scalp = (distance > 8) & (distance <= 18)
    head[scalp] = level * np.random.default_rng(0).normal(1.6, 0.2, int(scalp.sum()))
    return np.rint(head).astype(np.int16)


def _spots(array: NDArray[Any], where: NDArray[np.bool_], count: int, value: float) -> NDArray[Any]:
    """Give some voxels a value that no tissue has."""
    spotted = array.copy() if array.dtype.kind == "f" else array.astype(np.int32)
    spotted[_some(where, count)] = value
    return spotted


def _some(where: NDArray[np.bool_], count: int) -> tuple[NDArray[np.intp], ...]:
    places = np.argwhere(where)
    chosen = np.random.default_rng(0).choice(len(places), count, replace=False)
    return tuple(places[chosen].T)


def _wrap(array: NDArray[Any]) -> NDArray[Any]:
    """An offset taken from the dark end, saved without a sign."""
    dark = np.percentile(array[array != 0], 3)
    return np.where(array != 0, array.astype(np.int64) - int(dark) - 1, 0).astype(np.uint16)


def _saturate_rim(array: NDArray[Any]) -> NDArray[Any]:
    rim = (array != 0) & ~ndimage.binary_erosion(array != 0)
    rim &= np.random.default_rng(0).random(array.shape) < 0.5
    return np.where(rim, 65535, array).astype(np.uint16)


def _spike(array: NDArray[Any]) -> NDArray[Any]:
    """Every eighth row of a slice, twelve times as bright."""
    middle = array.shape[2] // 2
    spiked = array.astype(np.int32)
    spiked[:, ::8, middle] *= 12
    return spiked


def _stray(array: NDArray[Any]) -> NDArray[Any]:
    """Voxels in the corners, as bright as tissue."""
    spotted = array.copy()
    for corner in np.ndindex(2, 2, 2):
        spotted[tuple(3 if not far else -4 for far in corner)] = int(np.median(array[array != 0]))
    return spotted
