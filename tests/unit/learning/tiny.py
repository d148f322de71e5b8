"""Sites and networks of a few hundred voxels and weights, so that a whole round takes milliseconds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from data.hospital import Hospital
from numpy.typing import NDArray
from torch import nn

from consilium.data.cache import open_entry
from consilium.data.cache_entry import write_entry
from consilium.data.cached_case import CachedCase
from consilium.data.case import Case
from consilium.learning.device import Device
from consilium.participant.site_settings import SiteSettings
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings
from consilium.tasks.brain_tumor.method import BrainTumorMethod
from consilium.tasks.brain_tumor.task import BrainTumor
from consilium.tasks.segmentation.geometry import Geometry
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings
from consilium.tasks.segmentation.volume_case import PreprocessedCase

CPU = Device(torch.device("cpu"), None)
LEARNING = BrainTumorSettings(spacing_mm=1.0, patch_voxels=(16, 16, 16), batch_size=1, local_steps=2, seed=3)

SMALL = {
    "min_count": 1,
    "min_training_patients": 1,
    "validation_fraction": 0.4,
    "test_fraction": 0.0,
    "split_salt": "tests",
}
"""What a hospital of a few patients decides, so that it can do what the large ones do."""


def site(folder: Path, patients: Sequence[str] = ("P1", "P2", "P3"), **settings: Any) -> SiteSettings:
    """A hospital with these patients, written as files."""
    (folder / "cases").mkdir(parents=True, exist_ok=True)
    hospital = Hospital(folder / "cases")
    for patient in patients:
        hospital.brats(patient)
    return SiteSettings(dataset=hospital.folder, **{**SMALL, **folders(folder), "cpu_threads": 1, **settings})


def folders(folder: Path) -> dict[str, Path]:
    """Where a site of a test keeps what it keeps."""
    return {"cache_dir": folder / "cache", "state_dir": folder / "state"}


def cached_case(
    folder: Path,
    label: NDArray[Any],
    image: NDArray[Any] | None = None,
    *,
    reference: NDArray[Any] | None = None,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    name: str = "P1",
) -> CachedCase:
    """An entry of the cache: the label on the task grid, and the native reference where it differs.

    Without an image, all four modalities are the label's values, so that anybody can see what belongs where.
    """
    if image is None:
        image = np.broadcast_to(label, (4, *label.shape))
    if reference is None:
        reference = label
    geometry = Geometry(
        file_shape=reference.shape,
        file_affine=tuple(map(tuple, np.eye(4))),
        orientation="RAS",
        native_spacing_mm=spacing_mm,
        crop_start=(0, 0, 0),
        crop_stop=reference.shape,
        task_shape=label.shape,
    )
    arrays = [np.ascontiguousarray(label, np.uint8), np.ascontiguousarray(reference, np.uint8)]
    (folder / name).mkdir(parents=True)
    write_entry(folder / name, PreprocessedCase(np.asarray(image, np.float16), *arrays, geometry).prepared())
    case = open_entry(folder / name, Case(id=name, patient=name, images={}, target=None), case_format=CASES)
    assert case is not None
    return case


class TinyMethod(BrainTumorMethod):
    """One linear layer: enough to learn from an image that is its own label."""

    def build_network(self, settings: SegmentationSettings) -> nn.Module:
        return nn.Conv3d(4, 3, kernel_size=1)


class TinyTask(BrainTumor):
    """Brain tumor segmentation by `TinyMethod`, or by another method."""

    def __init__(self, method: type[BrainTumorMethod] = TinyMethod) -> None:
        self.method = method(self.inputs, self.targets)
