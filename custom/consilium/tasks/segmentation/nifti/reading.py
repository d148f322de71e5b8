"""Reading of whole NIfTI files, with exact errors for unusable ones.

The file is read and decompressed in one go rather than through nibabel's lazy proxy: that is faster, and the
only way to have gzip's checksum verified, so a file damaged in a copy is found here and not trained on.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import apply_read_scaling
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from consilium.counts import counted
from consilium.data.case import CaseError, ImageFile
from consilium.data.case_boundary import case_boundary
from consilium.data.case_preparation import ReadBytes
from consilium.data.codes import DataCode
from consilium.data.file_content import FileContent, UnusableFile, read_start
from consilium.data.finding import Finding
from consilium.data.sources import read_source
from consilium.tasks.segmentation.codes import VolumeCode
from consilium.tasks.segmentation.nifti.header import (
    HEADER_BYTES,
    Extension,
    Flaw,
    affine_of,
    extensions_of,
    needed_bytes,
    normalize_quaternion,
    parse_header,
    shape_of,
)

_START_BYTES = 1 << 14
"""Of a file, for its header alone: more than gzip needs for `HEADER_BYTES`, whatever its own header holds."""
_MOST_BYTES_BEHIND = 1 << 26


@dataclass(frozen=True)
class StoredVolume:
    """An image as stored in its file.

    Args:
        array: Voxels with the header's scaling applied, `(I, J, K)` or `(I, J, K, channels)`.
        affine: Voxel index to position in mm, `(4, 4)`.
        header: nibabel's NIfTI header.
        gzipped: Whether the file's content is compressed, whatever its name says.
        extensions: Extensions between header and voxels.
        flaws: What was noticed and doesn't keep the file from being used.
    """

    array: NDArray[Any]
    affine: NDArray[np.float64]
    header: nib.Nifti1Header
    gzipped: bool
    extensions: tuple[Extension, ...] = ()
    flaws: tuple[Flaw, ...] = ()


@dataclass(frozen=True)
class VolumeSize:
    """Size of an image by its header.

    Args:
        shape: Voxels along the first three axes.
        spacing_mm: Their size along the same axes.
    """

    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]


def read_file(path: Path) -> bytes:
    """The content of a file; see `read_source` for its errors."""
    return read_source(path).data


def read_nifti(path: Path, *, case_id: str, read: ReadBytes = read_file) -> StoredVolume:
    """Read a NIfTI-1 or NIfTI-2 file of either byte order, plain or gzipped.

    Args:
        path: The file.
        case_id: Whose file it is, for the error.
        read: Returns the content of a file, or raises `UnusableFile`.

    Returns:
        The voxels, in this machine's byte order, and the affine.

    Raises:
        CaseError: The file is absent, forbidden, no NIfTI, incomplete, damaged, or without a valid affine;
            or whatever else reading it raised.
    """
    with case_boundary(case_id, path, "read"), np.errstate(all="ignore"):  # a header may hold any number
        content = FileContent(read(path))
        try:
            return _read(content)
        except (HeaderDataError, WrapStructError) as error:
            raise UnusableFile(DataCode.UNREADABLE, f"is not a NIfTI file: {error}") from error


def read_header(path: Path, *, case_id: str) -> nib.Nifti1Header:
    """Read the header alone: the start of the file is enough.

    Args:
        path: The file.
        case_id: Whose file it is, for the error.

    Returns:
        nibabel's header, NIfTI-1 or NIfTI-2, without its extensions.

    Raises:
        CaseError: The file is absent, forbidden or no NIfTI.
    """
    with case_boundary(case_id, path, "read"), np.errstate(all="ignore"):  # a header may hold any number
        start = FileContent(read_start(path, _START_BYTES)).read(HEADER_BYTES)
        try:
            header = parse_header(bytes(start))
        except (HeaderDataError, WrapStructError) as error:
            raise UnusableFile(DataCode.UNREADABLE, f"is not a NIfTI file: {error}") from error
        normalize_quaternion(header)
        return header


def read_size(path: Path, *, case_id: str) -> VolumeSize:
    """Read the size of an image from its header.

    Args:
        path: The file.
        case_id: Whose file it is, for the error.

    Raises:
        CaseError: The file is absent, forbidden, no NIfTI, or without a valid affine.
    """
    header = read_header(path, case_id=case_id)
    with case_boundary(case_id, path, "read"), np.errstate(all="ignore"):
        spacing = voxel_sizes(affine_of(header))
        return VolumeSize(shape_of(header)[:3], tuple(float(size) for size in spacing))


def pick_3d(stored: StoredVolume, volume: ImageFile, *, case_id: str) -> StoredVolume:
    """The one 3D image that a volume means.

    Args:
        stored: What was read from `volume.path`.
        volume: Says which channel, if the file is 4D.
        case_id: Whose file it is, for the error.

    Returns:
        The image, its array `(I, J, K)`.

    Raises:
        CaseError: The file has other axes than the volume says.
    """
    array = stored.array
    if volume.channel is None:
        while array.ndim > 3 and array.shape[-1] == 1:
            array = array[..., 0]
    elif array.ndim == 4 and volume.channel < array.shape[3]:
        array = array[..., volume.channel]
    if array.ndim != 3 or min(array.shape) == 1:  # a single slice is no volume
        wanted = "one 3D image" if volume.channel is None else f"a 4D image with channel {volume.channel}"
        detail = f"{volume.path} has the shape {stored.array.shape}, not {wanted}."
        raise CaseError(Finding(case_id=case_id, code=VolumeCode.NOT_3D, detail=detail))
    return replace(stored, array=array)


def _read(content: FileContent) -> StoredVolume:
    """Read header and voxels, and to the end, where gzip's checksum is."""
    start = content.read(HEADER_BYTES)
    header = parse_header(bytes(start))
    needed = needed_bytes(header)
    start += content.read(needed - len(start))
    behind = content.skip_rest(_MOST_BYTES_BEHIND) + max(0, len(start) - needed)
    if len(start) < needed:
        raise UnusableFile(
            DataCode.TRUNCATED, f"holds {counted(len(start), 'byte')} where its header promises {needed}"
        )
    flaws = [flaw for flaw in (normalize_quaternion(header),) if flaw is not None]
    if behind or content.trailing:
        where = "voxels" if behind else "compressed content"
        flaws.append(
            (
                DataCode.TRAILING_BYTES,
                f"has {counted(behind + content.trailing, 'byte')} behind its {where}",
            )
        )
    return StoredVolume(
        _voxels(header, start),
        affine_of(header),
        header,
        content.gzipped,
        extensions_of(header, bytes(start[: header.get_data_offset()])),
        tuple(flaws),
    )


def _voxels(header: Any, content: bytearray) -> NDArray[Any]:
    """The voxels with the header's scaling applied, in this machine's byte order."""
    dtype, shape = header.get_data_dtype(), shape_of(header)
    stored = np.frombuffer(content, dtype, count=math.prod(shape), offset=header.get_data_offset())
    array = stored.reshape(shape, order="F")
    slope, inter = header.get_slope_inter()
    if slope is not None and (slope, inter) != (1.0, 0.0):
        array = apply_read_scaling(array, slope, inter)
    return np.asarray(array, dtype=array.dtype.newbyteorder("="))
