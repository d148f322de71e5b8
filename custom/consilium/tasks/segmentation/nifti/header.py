"""Header of a NIfTI-1 or NIfTI-2 file in either byte order, with its flaws.

https://nifti.nimh.nih.gov/nifti-1, https://nifti.nimh.nih.gov/nifti-2
"""

from __future__ import annotations

import logging
import math
from typing import Any, Final, Literal

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from consilium.counts import counted
from consilium.data.codes import DataCode
from consilium.data.file_content import GZIP_MAGIC, MAX_FILE_BYTES, UnusableFile
from consilium.data.problem_code import ProblemCode
from consilium.tasks.segmentation.codes import VolumeCode

HEADER_BYTES: Final = 544
"""Enough of a file for its header in either version; extensions follow."""

MAX_VOXELS: Final = 2**29
"""Voxels of a file at most, all channels of it: four of 512 x 512 x 512. Scaled, they are 4 GiB."""

UNKNOWN_EXTENSION: Final = -1
"""Code of bytes before the voxels that are not an extension."""

Extension = tuple[int, bytes]
"""Code and content of a header's extension."""

_EXTENSION_HEAD = 8
_NIFTI1_BYTES, _NIFTI2_BYTES = 348, 540
_NIFTI1_MAGIC = slice(344, 348)
_NIFTI2_MAGIC = slice(4, 8)
_VOXEL_MM = (0.01, 100.0)
_MIN_DETERMINANT = 0.1
_ROUNDED_QUATERNION = 1e-5

# nibabel logs what it corrects; what matters of that is a finding.
_quiet = logging.getLogger(f"{__name__}.corrections")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False

Flaw = tuple[ProblemCode, str]
"""What was noticed and doesn't keep a file from being used: code, and what follows the file's name."""


def parse_header(start: bytes) -> Any:
    """Read a header without its extensions.

    Args:
        start: The first `HEADER_BYTES` of the decompressed content; more are ignored.

    Returns:
        nibabel's header, with the corrections that it makes itself.

    Raises:
        UnusableFile: The bytes are not a header, or one that promises what can't be.
        nibabel.spatialimages.HeaderDataError: A field has an unknown value.
    """
    kind, endianness = _recognize(start)
    if len(start) < kind.sizeof_hdr:
        raise UnusableFile(
            DataCode.TRUNCATED, f"ends in its header: {len(start)} of {counted(kind.sizeof_hdr, 'byte')}"
        )
    header = kind(bytes(start[: kind.sizeof_hdr]), endianness, check=False)
    if header["magic"].item() == header.pair_magic:
        raise UnusableFile(
            DataCode.UNREADABLE, "is half of a pair of .hdr and .img, which must be in one .nii"
        )
    _settle_offset(header)
    header.check_fix(logger=_quiet)
    _require_voxels(header)
    return header


def extensions_of(header: Any, content: bytes) -> tuple[Extension, ...]:
    """Return the extensions between header and voxels: code and bytes of each extension.

    What is behind a damaged one is returned as one more, of the code `UNKNOWN_EXTENSION`: it may hold a name.

    Args:
        header: The header.
        content: The decompressed content up to the voxels.
    """
    rest = content[header.sizeof_hdr + 4 :]
    if not any(content[header.sizeof_hdr : header.sizeof_hdr + 1]):
        return ((UNKNOWN_EXTENSION, rest),) if any(rest) else ()
    order: Literal["little", "big"] = "little" if header.endianness == "<" else "big"
    found: list[Extension] = []
    while len(rest) >= _EXTENSION_HEAD:
        size, code = (int.from_bytes(rest[start : start + 4], order, signed=True) for start in (0, 4))
        if not _EXTENSION_HEAD <= size <= len(rest):
            break
        found.append((code, rest[_EXTENSION_HEAD:size].rstrip(b"\0")))
        rest = rest[size:]
    return (*found, (UNKNOWN_EXTENSION, rest)) if any(rest) else tuple(found)


def needed_bytes(header: Any) -> int:
    """Bytes of the content that a header promises: itself, its extensions and the voxels."""
    dtype, shape = header.get_data_dtype(), shape_of(header)
    return int(header.get_data_offset()) + math.prod(shape) * int(dtype.itemsize)


def shape_of(header: Any) -> tuple[int, ...]:
    """Voxels along each axis."""
    return tuple(int(size) for size in header.get_data_shape())


def affine_of(header: Any) -> NDArray[np.float64]:
    """Voxel index to position in mm: the sform, where there is none the qform, else the voxel sizes alone.

    Raises:
        UnusableFile: It is not a position of an image.
    """
    try:
        affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    except ValueError as error:  # a quaternion that no rotation has
        raise UnusableFile(
            VolumeCode.INVALID_AFFINE, f"has a qform that is not a rotation ({error})"
        ) from error
    spacing = voxel_sizes(affine)
    low, high = _VOXEL_MM
    if (
        not np.isfinite(affine).all()
        or not low <= spacing.min() <= spacing.max() <= high
        or abs(np.linalg.det(affine[:3, :3] / spacing)) < _MIN_DETERMINANT
    ):
        raise UnusableFile(
            VolumeCode.INVALID_AFFINE,
            f"has the affine {affine[:3].tolist()} (voxels must be {low:g} to {high:g} mm)",
        )
    return affine


def normalize_quaternion(header: Any) -> Flaw | None:
    """Shorten a quaternion that rounding has made longer than 1, which nibabel rejects; returns the flaw.

    Its fourth part, the root of 1 less the squares of the three that are stored, is then 0, as the NIfTI
    library has it (`nifti_quatern_to_mat44`).
    """
    names = ("quatern_b", "quatern_c", "quatern_d")
    parts = np.array([header[name] for name in names], dtype=np.float64)
    excess = float(parts @ parts) - 1.0
    if not int(header["qform_code"]) or not 0.0 < excess <= _ROUNDED_QUATERNION:
        return None
    fails = excess > abs(float(header.quaternion_threshold))
    parts *= (1.0 - np.finfo(np.float64).eps * 4) / np.linalg.norm(parts)
    for name, part in zip(names, parts, strict=True):
        header[name] = part
    return (VolumeCode.INEXACT_QFORM, f"has a quaternion of length 1 + {excess / 2:.1e}") if fails else None


def _recognize(start: bytes) -> tuple[Any, Literal["<", ">"] | None]:
    """The kind of a header and its byte order; None where only its dimensions can say that."""
    kinds = {_NIFTI1_BYTES: nib.Nifti1Header, _NIFTI2_BYTES: nib.Nifti2Header}
    orders: tuple[tuple[Literal["<", ">"], Literal["little", "big"]], ...] = (("<", "little"), (">", "big"))
    for code, order in orders:
        kind = kinds.get(int.from_bytes(start[:4], order))
        if kind is not None:
            return kind, code
    # Some writers leave another size in the header; the magic then says what it is.
    for magic, where, kind in (
        (b"n+1", _NIFTI1_MAGIC, nib.Nifti1Header),
        (b"n+2", _NIFTI2_MAGIC, nib.Nifti2Header),
    ):
        if bytes(start[where]).startswith(magic):
            return kind, None
    if start.startswith(GZIP_MAGIC):
        raise UnusableFile(DataCode.UNREADABLE, "is compressed twice: decompress it once (gunzip)")
    raise UnusableFile(DataCode.UNREADABLE, "is not a NIfTI file: neither its size nor its magic is right")


def _settle_offset(header: Any) -> None:
    """Require a place of the voxels behind the header; 0 means right behind it, as in the NIfTI library."""
    offset = float(header["vox_offset"])
    if offset == 0:
        header["vox_offset"] = header.single_vox_offset
    elif not offset.is_integer() or not header.single_vox_offset <= offset <= MAX_FILE_BYTES:
        raise UnusableFile(
            DataCode.UNREADABLE,
            f"states that its voxels start at byte {offset:g}; possible: {header.single_vox_offset} or later",
        )


def _require_voxels(header: Any) -> None:
    dtype, shape = header.get_data_dtype(), shape_of(header)
    if dtype.kind not in "iuf":
        raise UnusableFile(DataCode.UNREADABLE, f"holds {dtype} voxels, not plain numbers")
    if min(shape, default=0) < 1:
        raise UnusableFile(DataCode.UNREADABLE, f"states the shape {shape}")
    if math.prod(shape) > MAX_VOXELS or needed_bytes(header) > MAX_FILE_BYTES:
        size = " x ".join(map(str, shape))
        raise UnusableFile(
            DataCode.TOO_LARGE,
            f"states {size} voxels of {dtype}; at most {MAX_VOXELS} are read",
        )
