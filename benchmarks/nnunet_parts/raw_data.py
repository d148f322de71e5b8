"""Cases in nnU-Net's raw format, and label maps that it predicted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from consilium.data.cached_case import CachedCase
from consilium.data.case import ImageFile
from consilium.data.files import private_folder, write_atomically
from consilium.tasks.segmentation.nifti.reading import StoredVolume, pick_3d, read_nifti
from consilium.tasks.segmentation.nifti.writing import encode_nifti
from consilium.tasks.segmentation.orientation import crop_slices, to_ras
from consilium.tasks.segmentation.regions import Region, join_regions, to_regions
from consilium.tasks.segmentation.volume_case import VolumeCase

DATASET_NUMBER: Final = 1
DATASET: Final = "Dataset001_Benchmark"

_ENDING: Final = ".nii.gz"


@dataclass(frozen=True)
class RawDataset:
    """Cases as nnU-Net reads them, under numbers in place of their names.

    Images are voxels as the hospital stored them, so that nnU-Net prepares them in its own way. Labels hold
    the task's canonical values.

    Args:
        folder: Of the dataset, below nnU-Net's `raw`.
        inputs: Names of the images, in their order.
        regions: What is segmented.
    """

    folder: Path
    inputs: tuple[str, ...]
    regions: tuple[Region, ...]

    def write(
        self,
        train: Sequence[CachedCase],
        held_out: Sequence[CachedCase],
        on_case: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """Write cases to train on, and images of those held out; what is there is left alone.

        Args:
            train: Labeled cases.
            held_out: Others, whose labels stay behind.
            on_case: Called with the cases done and the cases in all.
        """
        for name in ("imagesTr", "labelsTr", "imagesTs"):
            private_folder(self.folder / name)
        for number, case in enumerate((*train, *held_out)):
            self._write_case(VolumeCase.of(case), number, labeled=number < len(train))
            on_case(number + 1, len(train) + len(held_out))
        described = describe_dataset(self.inputs, self.regions, len(train))
        write_atomically(self.description, json.dumps(described, indent=1).encode())

    @property
    def description(self) -> Path:
        """The `dataset.json`, written last."""
        return self.folder / "dataset.json"

    def images(self, number: int, *, labeled: bool) -> list[Path]:
        """Return the files of a case, one an input."""
        folder = self.folder / ("imagesTr" if labeled else "imagesTs")
        return [folder / f"case_{number:04d}_{index:04d}{_ENDING}" for index in range(len(self.inputs))]

    def _write_case(self, case: VolumeCase, number: int, *, labeled: bool) -> None:
        if case.origin is None or case.reference is None:
            raise ValueError("a case for nnU-Net needs its files and its label")
        sources = case.origin.case.images
        paths = self.images(number, labeled=labeled)
        label = self.folder / "labelsTr" / f"case_{number:04d}{_ENDING}"
        if all(path.exists() for path in (*paths, *([label] if labeled else []))):
            return
        read: dict[Path, StoredVolume] = {}
        header = _read_once(sources[self.inputs[0]], case.id, read).header
        if labeled:
            known = known_values(np.asarray(case.reference), self.regions)
            write_atomically(label, encode_nifti(case.geometry.to_file_grid(known), header), durable=False)
        for name, path in zip(self.inputs, paths, strict=True):
            stored = pick_3d(_read_once(sources[name], case.id, read), sources[name], case_id=case.id)
            content = encode_nifti(stored.array.astype(np.float32), header)
            write_atomically(path, content, durable=False)


def describe_dataset(inputs: Sequence[str], regions: Sequence[Region], cases: int) -> dict[str, Any]:
    """Return nnU-Net's `dataset.json`: regions that may overlap, the largest first.

    Where predicted regions disagree, the innermost wins, as in `join_regions`.

    Args:
        inputs: Names of the images.
        regions: What is segmented.
        cases: How many there are to train on.
    """
    from_outside = sorted(regions, key=lambda region: -len(region.values))
    return {
        "channel_names": {str(index): name for index, name in enumerate(inputs)},
        "labels": {
            "background": 0,
            **{region.name: sorted(int(value) for value in region.values) for region in from_outside},
        },
        "regions_class_order": [_own_value(region, regions) for region in from_outside],
        "numTraining": cases,
        "file_ending": _ENDING,
        # Hospitals store their images along different axes; this reader turns them to RAS and back.
        "overwrite_image_reader_writer": "NibabelIOWithReorient",
    }


def known_values(label: NDArray[np.uint8], regions: Sequence[Region]) -> NDArray[np.uint8]:
    """Return a canonical label map in which what belongs to no region is background."""
    known = sorted({int(value) for region in regions for value in region.values})
    return np.where(np.isin(label, known), label, 0).astype(np.uint8)


def read_prediction(path: Path, case: CachedCase, regions: Sequence[Region]) -> Tensor:
    """Read a label map that nnU-Net wrote.

    Args:
        path: The file, on the voxels of the case's images.
        case: The case.
        regions: What is segmented.

    Returns:
        The regions on the native voxels of the case's crop, `(R, X, Y, Z)` bool.

    Raises:
        ValueError: If the file doesn't lie on the voxels of the case's images.
    """
    geometry = VolumeCase.of(case).geometry
    image = nib.load(path)
    array = np.asarray(image.dataobj).astype(np.uint8)
    if array.shape != geometry.file_shape or not np.allclose(image.affine, geometry.file_affine, atol=1e-3):
        raise ValueError("a predicted label map doesn't lie on the voxels of its case")
    crop = to_ras(array, geometry.orientation)[crop_slices(geometry.crop_start, geometry.crop_stop)]
    return to_regions(torch.from_numpy(np.ascontiguousarray(crop)), regions)


def _own_value(region: Region, regions: Sequence[Region]) -> int:
    """The value that a voxel has in a label map that lies in this region and in those around it only."""
    found = torch.tensor([[other.values >= region.values] for other in regions])[..., None, None]
    return int(join_regions(found, regions).item())


def _read_once(file: ImageFile, case_id: str, read: dict[Path, StoredVolume]) -> StoredVolume:
    """One file may hold all images of a case."""
    if file.path not in read:
        read.clear()
        read[file.path] = read_nifti(file.path, case_id=case_id)
    return read[file.path]


def cases_and_outputs(raw: RawDataset, folder: Path, first: int, count: int) -> list[tuple[list[str], str]]:
    """Return the images of each held-out case and the file of its prediction.

    Args:
        raw: The dataset.
        folder: Of the predictions.
        first: Number of the first held-out case.
        count: How many there are.
    """
    return [
        (
            [str(path) for path in raw.images(number, labeled=False)],
            str(folder / f"case_{number:04d}{_ENDING}"),
        )
        for number in range(first, first + count)
    ]
