"""Writers of file layouts and label conventions for synthetic hospitals."""

import json
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import numpy.typing as npt

from consilium.tasks.brain_tumor.synthetic.scanner import MODALITIES, Modality
from consilium.tasks.brain_tumor.synthetic.tumor import Label, LabelMap

Images = Mapping[Modality, npt.NDArray[np.int16]]
"""One `(X, Y, Z)` image a modality, axes toward right, anterior and superior."""


class CaseLayout(str, Enum):
    """File layouts of synthetic cases."""

    BRATS_2020 = "brats2020"
    """`BraTS20_Training_001/BraTS20_Training_001_t1ce.nii.gz`; labels 1, 2, 4; also 2018 and 2019."""
    BRATS_2021 = "brats2021"
    """`BraTS2021_00000/BraTS2021_00000_t1ce.nii.gz`; labels 1, 2, 4."""
    BRATS_2023 = "brats2023"
    """`BraTS-GLI-00000-000/BraTS-GLI-00000-000-t1c.nii.gz`; labels 1, 2, 3."""
    DECATHLON = "decathlon"
    """`imagesTr/BRATS_001.nii.gz`, one 4D image; labels 1 = edema, 2 = non-enhancing, 3 = enhancing."""


def case_name(layout: CaseLayout, index: int) -> str:
    """Name of the case with this number, counted from 0, as its layout counts."""
    return {
        CaseLayout.BRATS_2020: f"BraTS20_Training_{index + 1:03d}",
        CaseLayout.BRATS_2021: f"BraTS2021_{index:05d}",
        CaseLayout.BRATS_2023: f"BraTS-GLI-{index:05d}-000",
        CaseLayout.DECATHLON: f"BRATS_{index + 1:03d}",
    }[layout]


def case_paths(layout: CaseLayout, case: str) -> list[Path]:
    """What a case consists of, relative to the hospital's folder: one folder, or two files."""
    if layout is CaseLayout.DECATHLON:
        return [Path(part, f"{case}.nii.gz") for part in ("imagesTr", "labelsTr")]
    return [Path(case)]


def write_case(
    layout: CaseLayout, folder: Path, case: str, images: Images, label: LabelMap, spacing_mm: float
) -> None:
    """Write a case as a hospital with this layout holds it.

    Args:
        layout: The layout.
        folder: The hospital's folder; made if missing.
        case: The case's name.
        images: The images.
        label: The truth, in the numbering of `Label`.
        spacing_mm: Size of a voxel.
    """
    if layout is CaseLayout.DECATHLON:
        _write_decathlon(folder, case, images, label, spacing_mm)
    else:
        _write_brats(_BRATS[layout], folder, case, images, label, spacing_mm)


def finish_hospital(layout: CaseLayout, folder: Path, cases: list[str]) -> None:
    """Write what a layout keeps beside its cases: the Decathlon's `dataset.json`; BraTS has nothing.

    Args:
        layout: The layout.
        folder: The hospital's folder.
        cases: Names of all its cases.
    """
    if layout is not CaseLayout.DECATHLON:
        return
    listing = {
        "name": "BRATS",
        "description": "Synthetic gliomas by Consilium; no real patient",
        "tensorImageSize": "4D",
        "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
        "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
        "numTraining": len(cases),
        "numTest": 0,
        "training": [
            {"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"} for case in cases
        ],
        "test": [],
    }
    (folder / "dataset.json").write_text(json.dumps(listing, indent=2) + "\n")


class _BratsStyle(NamedTuple):
    """Differences between the years of BraTS."""

    separator: str
    suffixes: Mapping[Modality, str]
    enhancing: int


_OLD_SUFFIXES: Mapping[Modality, str] = {modality: modality for modality in MODALITIES}
_NEW_SUFFIXES: Mapping[Modality, str] = {"t1": "t1n", "t1ce": "t1c", "t2": "t2w", "flair": "t2f"}
_BRATS = {
    CaseLayout.BRATS_2020: _BratsStyle("_", _OLD_SUFFIXES, enhancing=4),
    CaseLayout.BRATS_2021: _BratsStyle("_", _OLD_SUFFIXES, enhancing=4),
    CaseLayout.BRATS_2023: _BratsStyle("-", _NEW_SUFFIXES, enhancing=3),
}
_DECATHLON_CHANNELS: tuple[Modality, ...] = ("flair", "t1", "t1ce", "t2")


def _write_brats(
    style: _BratsStyle, folder: Path, case: str, images: Images, label: LabelMap, spacing: float
) -> None:
    """One folder a case, one file an image; axes toward left, posterior and superior."""
    (folder / case).mkdir(parents=True, exist_ok=True)
    affine = np.diag([-spacing, -spacing, spacing, 1.0])
    affine[1, 3] = (label.shape[1] - 1) * spacing
    numbered = _renumber(label, {Label.NECROTIC_CORE: 1, Label.EDEMA: 2, Label.ENHANCING: style.enhancing})
    for modality, image in images.items():
        path = folder / case / f"{case}{style.separator}{style.suffixes[modality]}.nii.gz"
        _save(image[::-1, ::-1], affine, path)
    _save(numbered[::-1, ::-1], affine, folder / case / f"{case}{style.separator}seg.nii.gz")


def _write_decathlon(folder: Path, case: str, images: Images, label: LabelMap, spacing: float) -> None:
    """One image with all channels, one label; axes toward right, anterior and superior."""
    affine = np.diag([spacing, spacing, spacing, 1.0])
    numbered = _renumber(label, {Label.EDEMA: 1, Label.NECROTIC_CORE: 2, Label.ENHANCING: 3})
    channels = np.stack([images[modality] for modality in _DECATHLON_CHANNELS], axis=-1)
    image_path, label_path = (folder / path for path in case_paths(CaseLayout.DECATHLON, case))
    image_path.parent.mkdir(parents=True, exist_ok=True)
    label_path.parent.mkdir(parents=True, exist_ok=True)
    _save(channels, affine, image_path)
    _save(numbered, affine, label_path)


def _renumber(label: LabelMap, numbers: Mapping[Label, int]) -> LabelMap:
    table = np.zeros(len(Label), np.uint8)
    for meaning, number in numbers.items():
        table[meaning] = number
    return table[label]


def _save(array: npt.NDArray[Any], affine: npt.NDArray[np.float64], path: Path) -> None:
    """Write an array as NIfTI (nibabel compresses at level 1, the fastest)."""
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
