"""Damages to files, headers and grids."""

import gzip
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from .base import (
    Damage,
    file_of,
    moved,
    octets,
    on_affines,
    on_array,
    on_extension,
    on_forms,
    on_header,
    on_images,
    one,
    with_header,
)


def files() -> Iterator[Damage]:
    """Files that are missing, damaged or there twice."""
    yield one("a modality is missing", "missing_image", lambda h, c, o: file_of(h, c, "t2").unlink())
    yield one("a modality is there twice", "duplicate_file", _twice)
    yield one("the id is there twice", "duplicate_case", _same_id, severe=True)
    yield one("half a file", "truncated", octets("flair", lambda raw: raw[: len(raw) // 2]))
    yield one("half a label", "truncated", octets("seg", lambda raw: raw[: len(raw) // 2]))
    yield one("the last bytes are missing", "truncated", octets("t1", lambda raw: raw[:-3]))
    yield one("a file ends in its header", "truncated unreadable", octets("t1", lambda raw: raw[:40]))
    yield one("bytes are flipped", "truncated", octets("t2", _flip_bytes))
    yield one("gzip by its first bytes alone", "truncated", octets("t1ce", lambda raw: raw[:2] + b"\0" * 99))
    yield one("text in place of an image", "unreadable", octets("flair", lambda raw: b"moved to /archive\n"))
    yield one("an empty file", "empty_file", octets("t2", lambda raw: b""))
    yield one(
        "a Git LFS pointer",
        "pointer_file",
        octets("t1", lambda raw: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n"),
    )
    yield one("a git-annex pointer", "pointer_file", octets("t1", lambda raw: b"/annex/objects/SHA256E-s1\n"))
    yield one("a link to nothing", "dangling_link", _dangle)
    yield one("bytes behind gzip", "trailing_bytes", octets("t1ce", lambda raw: raw + b"<html>"))
    yield one(
        "an image without its end",
        "truncated",
        octets("t1", lambda raw: gzip.compress(_plain(raw)[:-9], 1)),
    )
    yield one("not compressed, named .gz", "misnamed_file", octets("t1", gzip.decompress))
    yield one("compressed, not named .gz", "misnamed_file", _misname)
    yield one("float64", "unusual_dtype", on_array("t2", lambda a: a.astype(np.float64)))
    yield one("a label of floats", "unusual_dtype", on_array("seg", lambda a: a.astype(np.float32)))
    yield one("complex numbers", "unreadable", on_array("t2", lambda a: a.astype(np.complex64)))
    yield one("colors", "unreadable", on_array("t1", _colors))


def headers() -> Iterator[Damage]:
    """Headers that say too much."""
    yield one("a name", "identifying_header", on_header("t1", db_name=b"DOE^JANE"))
    yield one("a date", "identifying_header", on_header("flair", descrip=b"acquired 2019-03-04"))
    yield one("an id", "identifying_header", on_header("seg", aux_file=b"MRN 00471182"))
    yield one("a DICOM header", "identifying_header", on_extension(2, b"\x10\0\x10\0PN\4\0DOE "))
    yield one("a comment with an id", "identifying_header", on_extension(6, b"patient: 4711"))
    yield one("a comment", "header_text", on_extension(6, b"second reading"))


def grids() -> Iterator[Damage]:
    """Grids and positions."""
    yield one("4D", "not_3d", on_array("t1", lambda a: np.stack([a, a], axis=3)))
    yield one("4D label", "not_3d", on_array("seg", lambda a: np.stack([a, a], axis=3)))
    yield one("2D", "not_3d", on_array("flair", lambda a: a[:, :, a.shape[2] // 2]))
    yield one("affine of NaN", "invalid_affine", moved("t2", lambda m: m * np.nan))
    yield one("flat affine", "invalid_affine", moved("t1", lambda m: m @ np.diag([1.0, 1.0, 0.0, 1.0])))
    yield one("other shape", "shape_mismatch", on_array("t1", lambda a: a[:, :, 1:]))
    yield one("label of another shape", "shape_mismatch", on_array("seg", lambda a: a[2:]), severe=True)
    yield one("other position", "affine_mismatch", moved("flair", lambda m: _move(m, 5.0)))
    yield one(
        "label at another position", "affine_mismatch", moved("seg", lambda m: _move(m, 9.0)), severe=True
    )
    yield one(
        "label mirrored by its affine",
        "affine_mismatch",
        moved("seg", lambda m: m @ np.diag([-1.0, 1, 1, 1])),
        severe=True,
    )
    yield one("other voxel size", "affine_mismatch", moved("t2", lambda m: m @ np.diag([1.1, 1.1, 1.1, 1])))
    yield one("no orientation", "no_orientation", on_forms(lambda image: (None, None)))
    yield one(
        "two orientations",
        "conflicting_affines",
        on_forms(lambda image: (image.affine, _move(image.affine, 30.0))),
    )
    yield one("a quaternion longer than 1", "inexact_qform", _long_quaternion, follows="conflicting_affines")
    yield one("meters", "unit_not_mm", on_header("t1", xyzt_units=1))
    yield one(
        "ten times the size",
        "implausible_size invalid_affine",
        on_affines(lambda m: np.diag([10.0, 10, 10, 1]) @ m),
        follows="not_skull_stripped",
    )
    yield one("half a brain", "partial_coverage", on_images(_half), follows="label_outside_brain")


def _twice(hospital: Path, case: str, other: str) -> None:
    path = file_of(hospital, case, "t1")
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))


def _misname(hospital: Path, case: str, other: str) -> None:
    path = file_of(hospital, case, "t1")
    path.rename(path.with_suffix(""))


def _same_id(hospital: Path, case: str, other: str) -> None:
    shutil.copytree(hospital / other, hospital / "again" / case)
    for path in (hospital / "again" / case).iterdir():
        path.rename(path.with_name(path.name.replace(other, case)))


def _long_quaternion(hospital: Path, case: str, other: str) -> None:
    """A unit quaternion, rounded up."""
    path = file_of(hospital, case, "t2")
    image = nib.load(path)
    for name, value in {"qform_code": 1, "quatern_b": 0, "quatern_c": 0, "quatern_d": 1.0000002}.items():
        image.header[name] = value
    path.write_bytes(gzip.compress(with_header(image), 1))


def _dangle(hospital: Path, case: str, other: str) -> None:
    path = file_of(hospital, case, "flair")
    path.unlink()
    path.symlink_to("../../.git/annex/objects/ab/cd/SHA256E-s1.nii.gz")


def _plain(raw: bytes) -> bytes:
    return gzip.decompress(raw)


def _flip_bytes(raw: bytes) -> bytes:
    middle = len(raw) // 2
    return raw[:middle] + bytes(255 - byte for byte in raw[middle : middle + 40]) + raw[middle + 40 :]


def _colors(array: NDArray[Any]) -> NDArray[Any]:
    return np.zeros(array.shape, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])


def _move(matrix: NDArray[Any], millimeters: float) -> NDArray[Any]:
    moved = matrix.copy()
    moved[0, 3] += millimeters
    return moved


def _half(array: NDArray[Any]) -> NDArray[Any]:
    filled = np.flatnonzero(array.any(axis=(0, 1)))
    half = array.copy()
    half[:, :, : filled[0] + round(0.35 * filled.size)] = 0
    half[:, :, filled[0] + round(0.75 * filled.size) :] = 0
    return half
