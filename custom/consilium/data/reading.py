"""Read a NIfTI file whole and say exactly what is wrong with one that can't be used.

The file is read and decompressed in one go rather than through nibabel's lazy proxy: that is faster, and the
only way to have gzip's checksum verified, so a file damaged in a copy is found here and not trained on.
"""

import gzip
import math
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from consilium.data.case import CaseError, CaseProblem, ProblemCode, Volume

_GZIP_MAGIC = b"\x1f\x8b"
_NIFTI2_HEADER_BYTES = 540


@dataclass(frozen=True)
class StoredVolume:
    """One image as it lies in its file.

    Args:
        array: Voxels with the header's scaling applied, `(I, J, K)` or `(I, J, K, channels)`.
        affine: Voxel index to position in mm, `(4, 4)`.
        header: The NIfTI header with its extensions.
        gzipped: Whether the file's content is compressed, whatever its name says.
    """

    array: NDArray[Any]
    affine: NDArray[np.float64]
    header: nib.Nifti1Header
    gzipped: bool


def read_nifti(path: Path, *, case_id: str) -> StoredVolume:
    """Read a NIfTI-1 or NIfTI-2 file, plain or gzipped.

    Args:
        path: The file.
        case_id: Whose file it is, for the error.

    Returns:
        The voxels and the affine.

    Raises:
        CaseError: The file is absent, forbidden, no NIfTI, incomplete, damaged, or without a valid affine.
    """
    raw = _read_bytes(path, case_id)
    gzipped = raw.startswith(_GZIP_MAGIC)
    content = _decompress(raw, path, case_id) if gzipped else raw
    is_nifti2 = int.from_bytes(content[:4], "little") == _NIFTI2_HEADER_BYTES
    try:
        image = (nib.Nifti2Image if is_nifti2 else nib.Nifti1Image).from_bytes(content)
        dtype = image.get_data_dtype()
    except (ImageFileError, HeaderDataError, WrapStructError) as error:
        raise _problem(case_id, ProblemCode.UNREADABLE, f"{path} is no NIfTI file: {error}.") from error
    if dtype.kind not in "iuf":
        raise _problem(case_id, ProblemCode.UNREADABLE, f"{path} holds {dtype} voxels, not plain numbers.")
    if min(image.shape, default=0) < 1:
        raise _problem(case_id, ProblemCode.UNREADABLE, f"{path} states the shape {image.shape}.")
    needed = image.dataobj.offset + math.prod(image.shape) * dtype.itemsize
    if len(content) < needed:  # asked before nibabel allocates what a damaged header promises
        detail = f"{path} holds {len(content)} bytes where its header promises {needed}."
        raise _problem(case_id, ProblemCode.TRUNCATED, detail)
    affine = np.asarray(image.affine, dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise _problem(case_id, ProblemCode.INVALID_AFFINE, f"{path} has the affine {affine[:3].tolist()}.")
    return StoredVolume(np.asanyarray(image.dataobj), affine, image.header, gzipped)


def pick_3d(stored: StoredVolume, volume: Volume, *, case_id: str) -> StoredVolume:
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
    if array.ndim != 3:
        wanted = "one 3D image" if volume.channel is None else f"a 4D image with channel {volume.channel}"
        detail = f"{volume.path} has the shape {stored.array.shape}, not {wanted}."
        raise _problem(case_id, ProblemCode.NOT_3D, detail)
    return replace(stored, array=array)


def _read_bytes(path: Path, case_id: str) -> bytes:
    try:
        return path.read_bytes()
    except PermissionError as error:
        raise _problem(case_id, ProblemCode.PERMISSION_DENIED, f"{path} may not be read.") from error
    except OSError as error:
        raise _problem(case_id, ProblemCode.UNREADABLE, f"{path} can't be read: {error}.") from error


def _decompress(raw: bytes, path: Path, case_id: str) -> bytes:
    """Decompressed content, checked against gzip's checksum."""
    try:
        return gzip.decompress(raw)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _problem(case_id, ProblemCode.TRUNCATED, f"{path} does not decompress: {error}.") from error


def _problem(case_id: str, code: ProblemCode, detail: str) -> CaseError:
    return CaseError(CaseProblem(case_id, code, detail))
