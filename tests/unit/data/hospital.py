"""Small hospitals on disk: NIfTI files of a few hundred voxels, named as the releases name them."""

import gzip
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from consilium.data.case import Case, ImageFile
from consilium.data.case_boundary import case_boundary
from consilium.tasks.brain_tumor.cases import brain_tumor_cases
from consilium.tasks.segmentation.cases import SegmentationCases
from consilium.tasks.segmentation.nifti.reading import read_file
from consilium.tasks.segmentation.preparation import preprocessing
from consilium.tasks.segmentation.preparation.crop import NativeCase
from consilium.tasks.segmentation.preparation.preprocessing import PreprocessingSettings
from consilium.tasks.segmentation.volume_case import PreprocessedCase

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
NAMES_2018 = {"t1": "_t1", "t1ce": "_t1ce", "t2": "_t2", "flair": "_flair", "label": "_seg"}
NAMES_2023 = {"t1": "-t1n", "t1ce": "-t1c", "t2": "-t2w", "flair": "-t2f", "label": "-seg"}
MODALITIES = ("t1", "t1ce", "t2", "flair")


@dataclass
class Hospital:
    """Writes cases under `folder`."""

    folder: Path

    def image(self, name: str, array: NDArray[Any], affine: NDArray[Any] = LPS) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        place = np.asarray(affine, np.float64)
        path.write_bytes(_nifti(array.tobytes(), array.dtype.str, array.shape, place.tobytes(), path.suffix))
        return path

    def brats(
        self,
        case_id: str,
        values: Sequence[int] | None = (0, 1, 2, 4),
        *,
        names: Mapping[str, str] = NAMES_2018,
        parent: str = "",
        extension: str = ".nii.gz",
        without: Sequence[str] = (),
    ) -> Path:
        """One case folder; `values` are those of its label, None for no label."""
        folder = Path(parent) / case_id
        for index, modality in enumerate(MODALITIES):
            if modality not in without:
                name = folder / f"{case_id}{names[modality]}{extension}"
                self.image(str(name), head(seed=sum(os.fsencode(case_id)) + index))
        if values is not None:
            self.image(str(folder / f"{case_id}{names['label']}{extension}"), label(values))
        return self.folder / folder

    def decathlon(self, case_id: str, *, folder: str = "imagesTr", labeled: bool = True) -> Path:
        """One 4D image whose channels are recognizable by their scale: 1, 10, 100, 1000."""
        image = np.stack([head(seed=7).astype(np.float32) * scale for scale in (1, 10, 100, 1000)], axis=3)
        if labeled:
            self.image(f"labelsTr/{case_id}.nii.gz", label((0, 1, 2, 3)))
        return self.image(f"{folder}/{case_id}.nii.gz", image)


@lru_cache(maxsize=2048)
def _nifti(voxels: bytes, kind: str, shape: tuple[int, ...], affine: bytes, suffix: str) -> bytes:
    """The file of an image; the same few are written thousands of times."""
    array = np.frombuffer(voxels, kind).reshape(shape)
    content = nib.Nifti1Image(array, np.frombuffer(affine).reshape(4, 4)).to_bytes()
    return gzip.compress(content, 1, mtime=0) if suffix == ".gz" else content


def head(shape: tuple[int, int, int] = (12, 14, 10), *, seed: int = 0) -> NDArray[np.int16]:
    """A box of positive noise with three voxels of empty background around it."""
    random = np.random.default_rng(seed)
    array = np.zeros(shape, dtype=np.int16)
    inner = tuple(slice(3, size - 3) for size in shape)
    array[inner] = random.integers(100, 1000, array[inner].shape)
    return array


def label(values: Sequence[int], shape: tuple[int, int, int] = (12, 14, 10)) -> NDArray[np.uint8]:
    """A label in which each nonzero value fills a 2x2x2 block of its own."""
    array = np.zeros(shape, dtype=np.uint8)
    for index, value in enumerate(value for value in values if value):
        array[4:6, 2 * index + 3 : 2 * index + 5, 4:6] = value
    return array


def read_native(cases: SegmentationCases, case: Case, convention: str | None = None) -> NativeCase:
    """A case on its own voxels."""
    return cases.examine(case, convention, read_file).require_native()


def preprocess(case: Case, convention: str | None, settings: PreprocessingSettings) -> PreprocessedCase:
    """The arrays of a case of brain tumors."""
    cases = brain_tumor_cases(settings.inputs)
    native = read_native(cases, case, convention)
    with case_boundary(case.id, case.place, "prepared"):
        return preprocessing.preprocess(native, settings, cases.normalization)


def one_case(
    folder: Path,
    images: Mapping[str, NDArray[Any]],
    label: NDArray[Any] | None = None,
    affine: NDArray[Any] = LPS,
) -> Case:
    """A case of the given arrays, one file each."""
    hospital = Hospital(folder)
    paths = {name: hospital.image(f"{name}.nii.gz", array, affine) for name, array in images.items()}
    drawn = None if label is None else ImageFile(hospital.image("label.nii.gz", label, affine))
    volumes = {name: ImageFile(path) for name, path in paths.items()}
    return Case(id="A", patient="A", images=volumes, target=drawn)
