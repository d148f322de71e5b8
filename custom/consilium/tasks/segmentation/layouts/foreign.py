"""Files of other formats, with the command that converts them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from consilium.data.scan import is_dicom
from consilium.tasks.segmentation.layouts.base import nifti_stem
from consilium.tasks.segmentation.layouts.endings import FileEndings

_SIMPLEITK: Final = (
    'python -c "import sys, SimpleITK as s; s.WriteImage(s.ReadImage(sys.argv[1]), sys.argv[2])" '
    "IMAGE IMAGE.nii.gz (pip install SimpleITK)"
)
_CONVERTERS: Final = {
    (".mha", ".mhd", ".nrrd", ".nhdr"): ("MetaImage or NRRD files", _SIMPLEITK),
    (".mgz", ".mgh", ".img", ".hdr", ".mnc"): (
        "FreeSurfer, Analyze or MINC files",
        "nib-convert IMAGE IMAGE.nii.gz",
    ),
    (".npy", ".npz", ".h5", ".pt", ".b2nd"): (
        "arrays without a position in space, as preprocessing writes them",
        "give the NIfTI files that they were made of",
    ),
}
_DICOM: Final = (
    "DICOM files: convert each series to NIfTI, for example with: dcm2niix -z y -f %i_%d -o OUT DIR"
)
_JOINT = re.compile(r"[-_. ]")
_DOCUMENTS: Final = frozenset(
    (
        *(".csv", ".tsv", ".txt", ".md", ".json", ".xlsx", ".xls", ".ods", ".docx", ".pdf", ".html", ".xml"),
        *(".yaml", ".yml", ".png", ".jpg", ".log", ".mat", ".tfm", ".bval", ".bvec", ".sh", ".py", ".zip"),
        *(".tar", ".gz", ".tgz", ".xz", ".bz2", ".7z", ".sha256", ".md5", ".license"),
    )
)
_NAMED_DOCUMENTS: Final = frozenset({"README", "LICENSE", "LICENCE", "CHANGES", "Thumbs.db", "desktop.ini"})


def describe_foreign(files: Iterable[Path], endings: FileEndings) -> list[str]:
    """Say what the files of a folder are that no layout reads, and how each kind is converted.

    Args:
        files: The files.
        endings: Knows what is to be done after DICOM is converted.
    """
    files = list(files)
    found: list[str] = []
    # Content is asked of the others only: names of DICOM files say nothing.
    if any(path.suffix.lower() == ".dcm" or (_is_unnamed(path) and is_dicom(path)) for path in files):
        after = endings.vocabulary.after_dicom
        found.append(f"{_DICOM}; then {after}" if after else _DICOM)
    suffixes = {path.suffix.lower() for path in files}
    found += [f"{what}: {how}" for kinds, (what, how) in _CONVERTERS.items() if suffixes.intersection(kinds)]
    return found


def unknown_files(files: Sequence[Path], understood: frozenset[Path]) -> tuple[Path, ...]:
    """The files that were not recognized: all but documents and what the layout knows.

    Args:
        files: Every visible file of the dataset folder.
        understood: What the layout knows.
    """
    return tuple(path for path in files if path not in understood and not _is_document(path))


def count_endings(files: Sequence[Path], case_ids: Iterable[str], endings: FileEndings) -> str:
    """Count files by what follows the case's id in their names, the most frequent first.

    Only words of imaging, and endings that several cases share, are written out: the rest of a name may be
    that of a person.

    Args:
        files: The files.
        case_ids: The cases of the folder.
        endings: Knows the words of imaging.
    """
    known = set(case_ids)
    named: list[str] = []
    for path in files:
        starts = (path.name[: end.start()] for end in _JOINT.finditer(path.name))
        owner = max((start for start in starts if start in known or start == path.parent.name), default="")
        ending = path.name[len(owner) :]
        if endings.is_plain(_without_extension(ending)) or (owner and ending[:1] in "-_. "):
            named.append(ending)
        else:
            named.append("")
    shared = Counter(named)
    counts = Counter(
        ending
        if ending and (shared[ending] > 1 or endings.is_plain(_without_extension(ending)))
        else _extension(path)
        for path, ending in zip(files, named, strict=True)
    )
    return ", ".join(f"{count} {ending}" for ending, count in counts.most_common(12))


def _without_extension(name: str) -> str:
    return nifti_stem(Path(name)) or name.partition(".")[0]


def _extension(path: Path) -> str:
    stem = nifti_stem(path)
    return path.name[len(stem) :] if stem is not None else path.suffix or "without extension"


def _is_unnamed(path: Path) -> bool:
    return nifti_stem(path) is None and not _is_document(path)


def _is_document(path: Path) -> bool:
    return nifti_stem(path) is None and (path.suffix.lower() in _DOCUMENTS or path.stem in _NAMED_DOCUMENTS)
