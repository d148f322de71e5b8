"""NIfTI files of what was predicted, at the place in space of the image that it was predicted from."""

from __future__ import annotations

import gzip
from typing import Any, Final

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

_PLACE: Final = (
    "pixdim",
    "xyzt_units",
    "qform_code",
    "sform_code",
    "quatern_b",
    "quatern_c",
    "quatern_d",
    "qoffset_x",
    "qoffset_y",
    "qoffset_z",
    "srow_x",
    "srow_y",
    "srow_z",
)
"""What a header says of a place in space. Texts in it stay behind: they may name a patient."""


def encode_nifti(array: NDArray[Any], source: nib.Nifti1Header, *, slope: float | None = None) -> bytes:
    """Make the content of a `.nii.gz` file; the same voxels and header give the same bytes.

    Args:
        array: Voxels in the source's axis order, `(I, J, K)`, as they are stored.
        source: Header of the image; voxel size, units, qform and sform with their codes are taken over bit by
            bit, and whether it is NIfTI-1 or NIfTI-2.
        slope: By which stored numbers are multiplied when they are read; None for numbers as they are.
    """
    header = type(source)()
    header.set_data_dtype(array.dtype)
    for name in _PLACE:
        header[name] = source[name]
    header["pixdim"][4:] = 1  # a source of several channels has something to say there
    header.set_data_shape(array.shape)
    header.set_slope_inter(1.0 if slope is None else slope, 0.0)
    header["vox_offset"] = header.single_vox_offset
    start = header.binaryblock + b"\0" * (header.single_vox_offset - header.sizeof_hdr)
    return gzip.compress(start + np.asfortranarray(array).tobytes(order="F"), compresslevel=6, mtime=0)
