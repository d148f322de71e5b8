import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

import trainer_parts
from candidates.augmentation import Affine, BiasField, Blur, LowResolution, Noise
from candidates.components import (
    BASELINE,
    COMPONENTS,
    DeepSupervisionLoss,
    MovingAverage,
    PolynomialSchedule,
    dyn_unet,
    seg_resnet_ds,
)
from candidates.results import LEFT_OUT, interval_over_seeds, left_out_table, summarize, table
from consilium.errors import ConfigurationError
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings
from consilium.tasks.method import BatchShare
from consilium.tasks.segmentation.method import RegionLoss

ALL = (Affine(1.0), Noise(1.0), Blur(1.0), LowResolution(1.0), BiasField(1.0))
SETTINGS = BrainTumorSettings(patch_voxels=(16, 24, 16))


def ball(shape=(16, 24, 20), radius=6.0, center=(0.0, 0.0, 0.0)):
    axes = [
        torch.arange(length) - (length - 1) / 2 - offset for length, offset in zip(shape, center, strict=True)
    ]
    squares = sum(axis**2 for axis in torch.meshgrid(*axes, indexing="ij"))
    return (squares < radius**2).float()


def changed(change, images, regions, share=None, seed=0):
    images, regions = images.clone(), regions.clone()
    change(images, regions, share or BatchShare(len(images)), torch.Generator().manual_seed(seed))
    return images, regions


@pytest.mark.parametrize("change", ALL, ids=lambda change: type(change).__name__)
def test_a_change_leaves_the_background_exactly_zero_and_changes_the_rest(change):
    images = ball().repeat(2, 4, 1, 1, 1) * (torch.rand(2, 4, 16, 24, 20) + 0.5)
    regions = torch.zeros(2, 3, 16, 24, 20)
    for seed in range(3):
        after, _ = changed(change, images, regions, seed=seed)
        assert torch.isfinite(after).all()
        assert not torch.equal(after, images)
        if not isinstance(change, Affine):
            assert torch.equal(after == 0, images == 0)
        assert after[..., 0, 0, 0].eq(0).all()


@pytest.mark.parametrize("change", ALL, ids=lambda change: type(change).__name__)
def test_a_patch_changes_alike_in_whatever_process_it_is(change):
    images, regions = torch.rand(3, 4, 8, 8, 8), torch.rand(3, 3, 8, 8, 8).round()
    whole = changed(change, images, regions)
    parts = []
    for rank in range(2):
        share = BatchShare(3, rank, 2)
        parts.append(changed(change, images[share.rows], regions[share.rows], share))
    for place in range(2):
        assert torch.equal(torch.cat([part[place] for part in parts]), whole[place])


def test_a_ball_stays_a_ball_in_a_patch_of_unequal_sides_and_its_region_turns_with_it():
    shape = (16, 24, 20)
    centered = ball(shape)[None, None]
    turned, _ = changed(Affine(1.0, degrees=40, scale=1.0), centered, centered)
    inner = ball(shape, 4.5) > 0
    assert turned[0, 0][inner].min() > 0.99
    assert turned[0, 0][ball(shape, 7.5) == 0].max() < 0.01
    beside = ball(shape, 4.0, center=(3.0, -5.0, 2.0))[None, None]
    image, region = changed(Affine(1.0), beside, beside)
    assert not torch.equal(region, beside)
    assert ((image > 0.5) != (region > 0.5)).sum() <= 0.1 * region.sum()  # its edge


def test_scaling_changes_the_volume_within_its_limits():
    centered = ball()[None, None]
    volumes = [
        float(changed(Affine(1.0, degrees=0, scale=1.2), centered, centered, seed=seed)[1].sum())
        for seed in range(8)
    ]
    factors = np.cbrt(np.array(volumes) / float(centered.sum()))
    assert factors.min() < 0.97
    assert factors.max() > 1.03
    assert (factors > 1 / 1.25).all()
    assert (factors < 1.25).all()


def test_the_polynomial_rate_falls_to_nothing():
    schedule = [PolynomialSchedule(index, 4) for index in range(4)]
    rates = [one.rate(SETTINGS, step, 10) for one in schedule for step in range(10)]
    assert max(rates) == pytest.approx(SETTINGS.learning_rate, rel=0.1)
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] < 0.05 * SETTINGS.learning_rate


def test_the_loss_of_one_head_is_the_job_s_and_heads_add_to_it():
    logits, target = torch.randn(2, 3, 4, 4, 4), torch.rand(2, 3, 4, 4, 4).round()
    loss = DeepSupervisionLoss()
    assert loss(logits, target) == pytest.approx(float(RegionLoss()(logits, target)))
    heads = torch.stack([logits, -logits], dim=1)
    parts = [float(RegionLoss()(one, target)) for one in (logits, -logits)]
    assert float(loss(heads, target)) == pytest.approx((parts[0] + parts[1] / 2) / 1.5)


@pytest.mark.parametrize("build", [dyn_unet(8, heads=2), seg_resnet_ds])
def test_a_network_with_heads_shows_them_only_while_it_trains(build):
    network, images = build(4, 3), torch.randn(1, 4, 16, 16, 16)
    assert network.train()(images).shape[2:] == (3, 16, 16, 16)
    assert network.eval()(images).shape == (1, 3, 16, 16, 16)


def test_a_moving_average_resumes_where_it_was():
    def steps(hooks, local, values):
        for value in values:
            torch.nn.init.constant_(local.network.weight, value)
            hooks.after_step(local)

    class Local:
        network = torch.nn.Linear(1, 1, bias=False)

    whole, half, resumed = (MovingAverage(AlgorithmSettings(name="local"), SETTINGS) for _ in range(3))
    steps(whole, Local, [1.0, 2.0, 3.0])
    steps(half, Local, [1.0, 2.0])
    resumed.restore(half.state())
    steps(resumed, Local, [3.0])
    assert whole.final_weights({})["weight"] == pytest.approx(0.99 * (0.99 * 1 + 0.01 * 2) + 0.01 * 3)
    assert resumed.final_weights({}) == whole.final_weights({})


def test_the_baseline_is_the_job_as_it_is():
    task = COMPONENTS[BASELINE].task("brain_tumor")
    images, label = torch.rand(2, 4, 8, 8, 8), torch.zeros(2, 8, 8, 8, dtype=torch.uint8)
    task.method.encode_targets(label)
    given = BatchShare(2), torch.Generator().manual_seed(3)
    after = task.method.augment(images.clone(), *given, BrainTumorSettings())
    given[1].manual_seed(3)
    same = get_task("brain_tumor").method.augment(images.clone(), *given, BrainTumorSettings())
    assert torch.equal(after, same)


def test_differences_are_paired_by_seed_and_patient():
    def outcome(*dice):
        return {"train_seconds": 2.0, "scores": {"held_out": [{"dice_a": one} for one in dice]}}

    spread = [0.5, 0.6, 0.7, 0.8, 0.9]
    found = {
        BASELINE: {0: outcome(*spread), 1: outcome(*reversed(spread))},
        "noise": {
            0: outcome(*(one + 0.02 for one in spread)),
            1: outcome(*(one + 0.04 for one in reversed(spread))),
        },
    }
    summary = summarize(found, {"held_out": list("abcde")}, baseline=BASELINE)
    of = json.loads(json.dumps(summary))["noise"]["groups"]["held_out"]
    assert of["difference"] == pytest.approx(0.03)
    assert of["by_seed"] == pytest.approx([0.02, 0.04])
    assert of["over_patients"] == pytest.approx([0.03, 0.03])
    assert of["over_seeds"] == interval_over_seeds(np.array(of["by_seed"]))
    assert "| noise | 0.730 | 0.730 | +0.030 (+0.030 to +0.030) |" in table(
        summary, {name: one.title for name, one in COMPONENTS.items()}
    )


def test_a_component_is_compared_at_each_hospital_that_was_left_out():
    def study(gain):
        before = {"train_seconds": 2.0, "scores": {LEFT_OUT: [{"dice_a": 0.5}] * 5}}
        after = {"train_seconds": 2.0, "scores": {LEFT_OUT: [{"dice_a": 0.5 + gain}] * 5}}
        found = {BASELINE: {0: before}, "scanner": {0: after}}
        return {"components": summarize(found, {LEFT_OUT: list("abcde")}, baseline=BASELINE)}

    titles = {name: one.title for name, one in COMPONENTS.items()}
    written = left_out_table({"aster": study(0.1), "birch": study(-0.02)}, titles)
    assert written.splitlines()[0].count("without") == 2
    assert "| 0.600, +0.100 (+0.100 to +0.100) | 0.480, -0.020 (-0.020 to -0.020) | +0.040 |" in written


def test_a_hospital_that_is_none_cannot_be_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["trainer_parts", "--out", str(tmp_path), "--leave-out", "nobody"])
    monkeypatch.setattr(trainer_parts, "specify_cohort", lambda cohort, changes: TinyCohort())
    with pytest.raises(SystemExit, match="--leave-out nobody: the hospitals are aster, birch"):
        trainer_parts.main()


class TinyCohort:
    hospitals: ClassVar = {"aster": Path("aster"), "birch": Path("birch")}
    evaluators = frozenset()

    def make(self, folder):
        return self


def test_a_folder_without_a_name_is_an_error():
    assert trainer_parts._named_folders(["real=a/b"])["real"].name == "b"
    with pytest.raises(ConfigurationError, match="NAME=DIR"):
        trainer_parts._named_folders(["a/b"])
