import math
from dataclasses import replace

import pytest

from consilium.errors import ConfigurationError
from consilium.learning.estimate import GIB, gpu_bytes
from consilium.recipes.catalog import build_recipe
from consilium.recipes.proposal import as_changes, propose
from consilium.tasks.proposals import DataFingerprint, Fingerprint
from consilium.tasks.segmentation.proposals import CPU_PATCH_VOXELS

BRATS = DataFingerprint(
    spacing_mm=(1.0, 1.0, 1.0), extent_mm=(140.0, 175.0, 145.0), extent_of="the head", fewest_patients=50
)


def plan(*, spacing=(1.0, 1.0, 1.0), gpu_gib=None, patients=50, job="brain_tumor_fedavg_gpu"):
    data = replace(BRATS, spacing_mm=spacing, fewest_patients=patients)
    recipe = build_recipe(job)
    changes = as_changes(propose(Fingerprint(data, "known", gpu_gib), recipe.settings))
    return build_recipe(job, changes).settings.learning


def test_every_choice_has_a_reason_with_the_numbers_that_it_comes_from():
    choices = propose(Fingerprint(BRATS, "no GPU at south"), build_recipe("brain_tumor_fedavg").settings)
    lines = [str(choice) for choice in choices]
    assert lines[0] == (
        "learning.spacing_mm=2.0: the median voxel of all patients is 1.0 x 1.0 x 1.0 mm; not finer than "
        "2 mm for a CPU (no GPU at south)"
    )
    assert lines[1].startswith(
        "learning.patch_voxels=[72, 88, 80]: the median case (the head) has 70 x 88 x 72"
    )
    assert lines[3].startswith("each image to zero mean")


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    ("spacing", "gpu_gib", "chosen"),
    [
        ((1.0, 1.0, 1.0), 24, 1.0),
        ((1.0, 1.0, 1.0), None, 2.0),
        ((2.6, 2.4, 2.5), None, 2.5),
        ((0.5, 0.5, 5.0), 24, 0.5),
        ((0.2, 0.2, 0.2), 24, 0.5),
        ((9.0, 9.0, 9.0), None, 8.0),
    ],
)
def test_voxels_are_the_median_patients_and_not_too_fine_for_a_cpu(spacing, gpu_gib, chosen):
    assert plan(spacing=spacing, gpu_gib=gpu_gib).spacing_mm == (chosen,) * 3


@pytest.mark.long
def test_a_large_gpu_takes_the_whole_head():
    learning = plan(gpu_gib=80, patients=200)
    assert learning.patch_voxels == (144, 176, 152)
    assert learning.batch_size > 2


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("gpu_gib", [4, 12, 24, 80])
@pytest.mark.parametrize("job", ["brain_tumor_fedavg", "brain_tumor_fedavg_gpu"])
def test_what_is_proposed_is_estimated_to_fit(gpu_gib, job):
    learning = plan(gpu_gib=gpu_gib, job=job)
    assert gpu_bytes(learning) <= 0.85 * gpu_gib * GIB
    assert learning.batch_size >= 2


@pytest.mark.long
def test_a_larger_gpu_never_gets_a_smaller_step():
    voxels = [math.prod(plan(gpu_gib=gib).patch_voxels) for gib in (3, 4, 6, 8, 12, 16, 24, 48)]
    assert voxels == sorted(voxels)
    assert voxels[0] < voxels[-1]


@pytest.mark.long
def test_few_patients_keep_the_batch_small():
    assert plan(gpu_gib=80, patients=4).batch_size == 2
    many = plan(gpu_gib=80, patients=200)
    assert many.batch_size > 2
    assert many.batch_size * math.prod(many.patch_voxels) <= 0.05 * 200 * 140 * 175 * 145


def test_on_a_cpu_a_step_is_no_larger_than_the_presets():
    learning = plan(spacing=(0.9, 0.9, 0.9), job="brain_tumor_fedavg")
    assert math.prod(learning.patch_voxels) <= CPU_PATCH_VOXELS
    assert learning.batch_size == 1


def test_without_voxel_size_nothing_is_proposed():
    unknown = Fingerprint(replace(BRATS, spacing_mm=None), "known")
    with pytest.raises(ConfigurationError, match="statistics job"):
        propose(unknown, build_recipe("brain_tumor_fedavg").settings)


def test_a_job_that_trains_nothing_gets_no_proposal():
    with pytest.raises(ConfigurationError, match="trains nothing"):
        propose(Fingerprint(BRATS, "known"), build_recipe("brain_tumor_stats").settings)
