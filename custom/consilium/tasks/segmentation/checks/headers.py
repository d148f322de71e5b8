"""Checks of headers: orientation, units, number types, identifying content.

What a text field holds is never repeated in a finding, only which field it is and what kind of text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.spatialimages import HeaderDataError

from consilium.data.case import Case
from consilium.data.case_boundary import case_boundary
from consilium.data.case_preparation import Examination
from consilium.data.codes import DataCode
from consilium.data.finding import Finding
from consilium.data.problem_code import ProblemCode
from consilium.tasks.segmentation.codes import VolumeCode
from consilium.tasks.segmentation.labels import ROUNDING, rounding_noise
from consilium.tasks.segmentation.nifti.header import UNKNOWN_EXTENSION, Extension
from consilium.tasks.segmentation.nifti.reading import StoredVolume
from consilium.tasks.segmentation.preparation.crop import NativeCase

_TEXT_FIELDS = ("descrip", "aux_file", "db_name", "intent_name")
_DICOM_EXTENSION = 2
_KINDS = {
    "a date": re.compile(
        r"(?<!\d)(?:19|20)\d\d[-./]?(?:0[1-9]|1[0-2])[-./]?(?:0[1-9]|[12]\d|3[01])(?!\d)"
        r"|(?<!\d)\d{1,2}[-./]\d{1,2}[-./](?:19|20)?\d\d(?!\d)"
    ),
    "a name": re.compile(r"[A-Za-z]{2,}\^[A-Za-z]*|(?i:\bname\b\s*[:=])"),
    "an id": re.compile(
        r"(?<![\w.])[A-Za-z]{0,3}\d{6,}(?![\w.])|(?i:\b(?:mrn|pid|patient|pat|ssn|dob)[-_:=# ]+\w)"
    ),
}
# What common software writes into `descrip` about itself.
_SOFTWARE = re.compile(r"(?i)fsl|spm|itk|afni|freesurfer|dcm2nii|nibabel|ants|matlab|captk|brats|te=[\d.]+")
_MM, _UNSPECIFIED = 2, 0
_SPACE_UNIT = 0x07
_UNITS = {1: "meter", 3: "micron"}
_AFFINE_TOLERANCE_VOXELS = 0.25


def check_headers(case: Case, examination: Examination[NativeCase]) -> Iterator[Finding]:
    """Look at the header of every file that could be read."""
    for path, stored in examination.files.items():
        label = case.target_file is not None and path == case.target_file.path
        image = None if label else _image(case, path)
        with case_boundary(case.id, path, "checked"), np.errstate(all="ignore"):  # of a damaged header
            found = list(_check_file(path, stored, label=label))
        for code, detail in found:
            yield Finding(code=code, case_id=case.id, image=image, detail=f"{path} {detail}.")


def _check_file(path: Path, stored: StoredVolume, *, label: bool) -> Iterator[tuple[ProblemCode, str]]:
    if path.name.endswith(".gz") != stored.gzipped:
        yield VolumeCode.MISNAMED_FILE, f"{'is' if stored.gzipped else 'is not'} compressed"
    dtype = stored.header.get_data_dtype()
    if label and dtype.kind == "f":
        yield VolumeCode.UNUSUAL_DTYPE, f"is a label of {dtype}"
    elif dtype.itemsize > 4:
        yield VolumeCode.UNUSUAL_DTYPE, f"holds {dtype}"
    if label and 0 < (noise := rounding_noise(stored.array)) <= ROUNDING:
        yield VolumeCode.LABEL_NOT_WHOLE, f"has values up to {noise:.1e} away from whole numbers"
    yield from stored.flaws
    yield from _check_orientation(stored.header)
    yield from _check_identity(stored.header, stored.extensions)


def _check_orientation(header: Any) -> Iterator[tuple[ProblemCode, str]]:
    unit = int(header["xyzt_units"]) & _SPACE_UNIT
    if unit not in (_MM, _UNSPECIFIED):
        yield VolumeCode.UNIT_NOT_MM, f"states the unit {_UNITS.get(unit, f'number {unit}')}"
    try:
        qform, sform = header.get_qform(coded=True), header.get_sform(coded=True)
    except (HeaderDataError, ValueError) as error:
        yield VolumeCode.CONFLICTING_AFFINES, f"has a qform that is not a rotation ({error})"
        return
    if qform[0] is None and sform[0] is None:
        yield VolumeCode.NO_ORIENTATION, "has neither qform nor sform"
    elif qform[0] is not None and sform[0] is not None:
        last = [*(size - 1 for size in header.get_data_shape()[:3]), 0, 0][:3]  # a 2D image has no third
        corners = np.array([[0, 0, 0, 1], [*last, 1]]).T
        shift = np.linalg.norm(((qform[0] - sform[0]) @ corners)[:3], axis=0).max()
        voxel = np.linalg.norm(sform[0][:3, :3], axis=0).min()
        if not shift <= _AFFINE_TOLERANCE_VOXELS * voxel:
            yield VolumeCode.CONFLICTING_AFFINES, f"has a qform and a sform that are {shift:.1f} mm apart"


def _check_identity(header: Any, extensions: Iterable[Extension]) -> Iterator[tuple[ProblemCode, str]]:
    for field in _TEXT_FIELDS:
        text = bytes(header[field].item()).decode("latin-1").strip("\0 ") if field in header else ""
        kinds = [kind for kind, pattern in _KINDS.items() if pattern.search(text)]
        if kinds:
            yield DataCode.IDENTIFYING_HEADER, f"has what looks like {' and '.join(kinds)} in {field}"
        elif re.search(r"[A-Za-z]{2}", text) and not _SOFTWARE.search(text):
            yield DataCode.HEADER_TEXT, f"has text in {field}"
    for code, content in extensions:
        if code == _DICOM_EXTENSION:
            yield DataCode.IDENTIFYING_HEADER, "carries a DICOM header as an extension"
            continue
        text = content.decode("latin-1")
        kinds = [kind for kind, pattern in _KINDS.items() if pattern.search(text)]
        if text.strip("\0 "):
            what = f" with what looks like {' and '.join(kinds)}" if kinds else ""
            name = "bytes before the voxels" if code == UNKNOWN_EXTENSION else f"an extension of code {code}"
            found = DataCode.IDENTIFYING_HEADER if kinds else DataCode.HEADER_TEXT
            yield found, f"carries {name}{what}"


def _image(case: Case, path: Path) -> str | None:
    """The one image in a file; None where it holds several."""
    names = [name for name, volume in case.images.items() if volume.path == path]
    return names[0] if len(names) == 1 else None
