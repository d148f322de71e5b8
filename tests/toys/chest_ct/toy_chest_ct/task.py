"""The task: a window of Hounsfield units, one image, one region, voxels that are longer than wide."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from consilium.tasks.segmentation.cases import SegmentationCases
from consilium.tasks.segmentation.features import Bins, VolumeFeatures
from consilium.tasks.segmentation.labels import FixedLabels
from consilium.tasks.segmentation.layouts.vocabulary import Vocabulary
from consilium.tasks.segmentation.preparation.normalization import IntensityWindow
from consilium.tasks.segmentation.regions import Region
from consilium.tasks.segmentation.segmentation_settings import PatchVoxels, SegmentationSettings, SpacingMm
from consilium.tasks.segmentation.task import SegmentationTask
from toy_chest_ct.synthetic import ChestHospitals

WINDOW = IntensityWindow(-1000, 400)


class ChestCtSettings(SegmentationSettings):
    """What a job decides about learning the task."""

    task: Literal["chest_ct"] = "chest_ct"
    network: Literal["unet_small"] = "unet_small"
    spacing_mm: SpacingMm = (3.0, 3.0, 6.0)
    patch_voxels: PatchVoxels = (32, 32, 16)


class ChestCt(SegmentationTask):
    """Segment lesions of the lungs."""

    name, title, inputs = "chest_ct", "Chest CT lesion segmentation", ("ct",)
    targets = (Region("lesion", "Lesion", frozenset({1})),)
    settings_type = ChestCtSettings
    penalty_mm = 700.0
    cases = SegmentationCases("chest_ct", inputs, Vocabulary({"ct": ("ct",)}), FixedLabels({1: 1}), WINDOW)
    statistics = VolumeFeatures(
        inputs={"ct": "CT"},
        targets=targets,
        volume_ml=Bins(0, 200, 40),
        extent_mm=Bins(5, 605, 60),
        normalization=WINDOW,
        intensity=Bins(0, 1, 50),
        intensity_unit="widths of the window",
        intensity_note="Intensities as the network sees them: 0 is -1000 HU and 1 is 400 HU.",
        scale=None,
    )
    synthetic = ChestHospitals()
    jobs: ClassVar[Mapping[str, Mapping[str, Any]]] = {"fedavg": {"rounds": 2, "min_sites": 2}}
