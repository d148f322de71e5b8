"""A segmentation of another organ in one contrast: what is particular to it, and nothing else."""

from typing import Literal

import numpy as np
import pytest
import torch
from learning.tiny import cached_case

from consilium.errors import ConfigurationError
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings
from consilium.tasks.proposals import DataFingerprint, Fingerprint
from consilium.tasks.segmentation.cases import SegmentationCases
from consilium.tasks.segmentation.features import Bins, VolumeFeatures
from consilium.tasks.segmentation.labels import FixedLabels
from consilium.tasks.segmentation.layouts.vocabulary import Vocabulary
from consilium.tasks.segmentation.networks import NETWORKS
from consilium.tasks.segmentation.preparation.normalization import IntensityWindow
from consilium.tasks.segmentation.regions import Region
from consilium.tasks.segmentation.segmentation_settings import PatchVoxels, SegmentationSettings, SpacingMm
from consilium.tasks.segmentation.task import SegmentationTask

WINDOW = IntensityWindow(-1000, 400)


class LungSettings(SegmentationSettings):
    task: Literal["lung"] = "lung"
    network: Literal["unet_small"] = "unet_small"
    spacing_mm: SpacingMm = (1.0, 1.0, 5.0)
    patch_voxels: PatchVoxels = (32, 32, 16)


class Lung(SegmentationTask):
    name, title, inputs = "lung", "Lesions of the lung", ("ct",)
    targets = (Region("lesion", "Lesion", frozenset({1})),)
    penalty_mm = 500.0
    settings_type = LungSettings
    cases = SegmentationCases("lung", ("ct",), Vocabulary({"ct": ("ct",)}), FixedLabels({1: 1}), WINDOW)
    statistics = VolumeFeatures(
        {"ct": "CT"}, targets, Bins(0, 500, 50), Bins(0, 600, 60), WINDOW, Bins(0, 1, 50)
    )


TASK, SETTINGS = Lung(), LungSettings()


def test_its_networks_loss_and_targets_fit_one_another():
    network = TASK.method.build_network(SETTINGS)
    inputs, targets = TASK.method.example_batch(SETTINGS)
    assert network(inputs).shape == targets.shape == (1, 1, 32, 32, 16)
    encoded = TASK.method.encode_targets(torch.ones(1, 32, 32, 16, dtype=torch.uint8))
    assert TASK.method.build_loss(SETTINGS)(network(torch.zeros_like(inputs)), encoded).isfinite()
    assert TASK.method.sample_bytes(SETTINGS) == 32 * 32 * 16 * 3


def test_a_network_is_added_in_one_place_and_a_task_may_list_its_own(monkeypatch):
    monkeypatch.setitem(NETWORKS, "linear", lambda channels, regions: torch.nn.Conv3d(channels, regions, 1))
    network = get_task("brain_tumor").method.build_network(BrainTumorSettings(network="linear"))
    assert network(torch.zeros(1, 4, 8, 8, 8)).shape == (1, 3, 8, 8, 8)
    allowed = r"allowed: 'unet_small' or 'segresnet' or 'linear' \(seen"
    with pytest.raises(ConfigurationError, match=allowed):
        BrainTumorSettings.parse({"network": "unet"}, source="a job")
    assert LungSettings.networks() == ("unet_small",)
    with pytest.raises(ConfigurationError, match="allowed: 'unet_small'"):
        LungSettings.parse({"network": "segresnet"}, source="a job")


def test_a_case_is_predicted_on_its_own_voxels_and_scored(tmp_path):
    label = np.zeros((40, 36, 20), np.uint8)
    label[5:15, 5:15, 5:15] = 1
    case = cached_case(tmp_path, label, label[None] * 2.0 - 1)
    inputs = TASK.method.read_inputs(case)
    logits = TASK.method.infer(torch.nn.Identity(), inputs, SETTINGS)[0]
    prediction = TASK.method.decide(TASK.method.interpret(logits, case))
    assert TASK.evaluation.score(prediction, case, final=True) == {"dice_lesion": 1, "hd95_lesion": 0}


def test_samples_are_not_changed_in_a_way_that_only_other_scans_bear():
    inputs = torch.randn(1, 1, 4, 4, 4)
    assert TASK.method.augment(inputs, None, None, None) is inputs


def test_its_settings_have_a_voxel_size_for_each_axis_that_preparing_its_cases_uses():
    assert SETTINGS.summary == "unet_small, 1 x 1 x 5 mm"
    assert TASK.cases.preparation(SETTINGS).spacing_mm == (1, 1, 5)
    assert LungSettings(spacing_mm=2).model_dump(mode="json")["spacing_mm"] == 2
    assert SETTINGS.model_dump(mode="json")["spacing_mm"] == [1, 1, 5]
    with pytest.raises(ConfigurationError, match="one number, such as 32, or three"):
        LungSettings.parse({"spacing_mm": [1, 2]}, source="a job")


def test_voxel_size_and_patch_are_proposed_for_it_without_a_word_on_brains():
    data = DataFingerprint(50, (0.8, 0.8, 1.5), (300.0, 300.0, 300.0), "the chest")
    choices = TASK.method.propose(Fingerprint(data, "no GPU"), SETTINGS, lambda settings: 2**30)
    assert [one.setting for one in choices] == [
        "learning.spacing_mm",
        "learning.patch_voxels",
        "learning.batch_size",
    ]


@pytest.mark.parametrize("attribute", ["title", "targets", "settings_type", "penalty_mm"])
def test_a_problem_that_leaves_out_what_it_must_state_is_rejected_as_it_is_registered(attribute):
    stated = {name: value for name, value in vars(Lung).items() if name != attribute}
    with pytest.raises(TypeError, match=f"Incomplete doesn't state {attribute}"):
        type("Incomplete", (SegmentationTask,), stated)()


@pytest.mark.parametrize("penalty_mm", [0, -1.0, float("nan"), float("inf")])
def test_a_missing_region_costs_a_positive_length(penalty_mm):
    with pytest.raises(TypeError, match="allowed: a positive length in mm"):
        type("Wrong", (Lung,), {"penalty_mm": penalty_mm})()
