"""One way to damage a case, and how files, arrays and headers are changed."""

import gzip
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

Apply = Callable[[Path, str, str], None]
IMAGES = ("t1", "t1ce", "t2", "flair")
ALIKE = "possible_same_examination duplicate_examination"


@dataclass(frozen=True)
class Damage:
    """One way to damage a case.

    Args:
        name: What is done.
        codes: What must be found: one of these.
        apply: Does it.
        severe: Whether it changes what a label means, or mixes patients.
        also: Whether the other case may be found as well, as it takes part.
        follows: What is then true of the case as well, and may be found.
        needs: A label value without which nothing is changed.
    """

    name: str
    codes: frozenset[str]
    apply: Apply
    severe: bool = False
    also: bool = False
    follows: frozenset[str] = frozenset()
    needs: int | None = None


def one(name: str, codes: str, apply: Apply, *, follows: str = "", **options: Any) -> Damage:
    """Return a damage, its codes separated by spaces."""
    return Damage(name, frozenset(codes.split()), apply, follows=frozenset(follows.split()), **options)


def file_of(hospital: Path, case: str, kind: str) -> Path:
    return hospital / case / f"{case}_{kind}.nii.gz"


def octets(kind: str, change: Callable[[bytes], bytes]) -> Apply:
    def apply(hospital: Path, case: str, other: str) -> None:
        path = file_of(hospital, case, kind)
        path.write_bytes(change(path.read_bytes()))

    return apply


def on_array(kind: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Apply:
    return sized(kind, lambda array, voxel_mm: change(array))


def sized(kind: str, change: Callable[[NDArray[Any], float], NDArray[Any]]) -> Apply:
    """A change that depends on the edge of a voxel in mm."""

    def apply(hospital: Path, case: str, other: str) -> None:
        path = file_of(hospital, case, kind)
        image = nib.load(path)
        array = change(np.asanyarray(image.dataobj), float(image.header.get_zooms()[0]))
        changed = nib.Nifti1Image(array, image.affine)
        changed.header.set_xyzt_units("mm")
        changed.to_filename(path)

    return apply


def on_mask(change: Callable[[NDArray[Any]], NDArray[Any]]) -> Apply:
    return on_array("seg", change)


def on_each(kinds: tuple[str, ...], make: Callable[[str], Apply]) -> Apply:
    def apply(hospital: Path, case: str, other: str) -> None:
        for kind in kinds:
            make(kind)(hospital, case, other)

    return apply


def on_images(change: Callable[[NDArray[Any]], NDArray[Any]]) -> Apply:
    return on_each(IMAGES, lambda kind: on_array(kind, change))


def on_affines(change: Callable[[NDArray[Any]], NDArray[Any]]) -> Apply:
    return on_each((*IMAGES, "seg"), lambda kind: moved(kind, change))


def moved(kind: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Apply:
    def apply(hospital: Path, case: str, other: str) -> None:
        path = file_of(hospital, case, kind)
        image = nib.load(path)
        matrix = np.array(change(image.affine))
        changed = nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine)
        changed.header.set_xyzt_units("mm")
        changed.header["qform_code"], changed.header["sform_code"] = 0, 1
        for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
            changed.header[name] = matrix[row]
        path.write_bytes(gzip.compress(with_header(changed), 1))

    return apply


def with_header(image: nib.Nifti1Image) -> bytes:
    """The file's bytes with the header as it is, which nibabel would correct."""
    header = image.header.copy()
    content = bytearray(image.to_bytes())
    header["vox_offset"], header["magic"] = 352, b"n+1"
    content[:348] = header.binaryblock
    return bytes(content)


def on_header(kind: str, **fields: Any) -> Apply:
    def apply(hospital: Path, case: str, other: str) -> None:
        path = file_of(hospital, case, kind)
        image = nib.load(path)
        for name, value in fields.items():
            image.header[name] = value
        nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine, image.header).to_filename(path)

    return apply


def on_extension(code: int, content: bytes) -> Apply:
    def apply(hospital: Path, case: str, other: str) -> None:
        path = file_of(hospital, case, "t2")
        image = nib.load(path)
        image.header.extensions.append(nib.nifti1.Nifti1Extension(code, content))
        nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine, image.header).to_filename(path)

    return apply


def on_forms(choose: Callable[[Any], tuple[Any, Any]]) -> Apply:
    def make(kind: str) -> Apply:
        def apply(hospital: Path, case: str, other: str) -> None:
            path = file_of(hospital, case, kind)
            image = nib.load(path)
            sform, qform = choose(image)
            changed = nib.Nifti1Image(np.asanyarray(image.dataobj), None)
            changed.header.set_zooms(image.header.get_zooms())
            changed.header.set_sform(sform, 1 if sform is not None else 0)
            changed.header.set_qform(qform, 1 if qform is not None else 0)
            path.write_bytes(gzip.compress(changed.to_bytes(), 1))

        return apply

    return on_each((*IMAGES, "seg"), make)


def copy_image(source: str, target: str) -> Apply:
    def apply(hospital: Path, case: str, other: str) -> None:
        shutil.copy(file_of(hospital, case, source), file_of(hospital, case, target))

    return apply


def foreign(kind: str) -> Apply:
    def apply(hospital: Path, case: str, other: str) -> None:
        shutil.copy(file_of(hospital, other, kind), file_of(hospital, case, kind))

    return apply


def shift(array: NDArray[Any], voxels: float, axis: int = 0) -> NDArray[Any]:
    return np.roll(array, round(voxels), axis)
