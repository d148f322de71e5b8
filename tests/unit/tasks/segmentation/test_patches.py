import numpy as np
import pytest
import torch
from learning.tiny import cached_case

from consilium.tasks.brain_tumor.label_conventions import Tissue
from consilium.tasks.segmentation.patches import PatchSampler

SIZE = (16, 24, 16)
SAMPLER = PatchSampler(SIZE, foreground_share=0.5)


def random_label(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8)


def cuts(case, sampler=SAMPLER, count=20, seed=1):
    random = np.random.default_rng(seed)
    return [sampler.cut(case, sampler.place(case, random)) for _ in range(count)]


@pytest.mark.parametrize("shape", [(30, 40, 20), (16, 24, 16), (9, 10, 7), (9, 60, 16)])
def test_every_patch_has_the_asked_size_also_from_a_smaller_case(tmp_path, shape):
    for image, tissues in cuts(cached_case(tmp_path, random_label(shape))):
        assert image.shape == (4, *SIZE)
        assert image.dtype.is_floating_point
        assert tissues.shape == SIZE
        assert tissues.dtype == torch.uint8


def test_a_smaller_case_lies_whole_in_the_middle_of_its_patch(tmp_path):
    label = np.ones((8, 10, 6), np.uint8)
    for _, tissues in cuts(cached_case(tmp_path, label)):
        assert tissues.sum() == label.size
        assert torch.equal(tissues, tissues.flip(0, 1, 2))  # 4, 7 and 5 voxels of margin on both sides


@pytest.mark.parametrize("shape", [(30, 40, 20), (9, 10, 7), (9, 60, 16)])
def test_image_and_label_are_cut_and_flipped_together(tmp_path, shape):
    label = random_label(shape)
    image = np.stack([label * factor for factor in (1, 2, 3, 4)])
    for patch, tissues in cuts(cached_case(tmp_path, label, image)):
        for factor, channel in enumerate(patch, start=1):
            assert torch.equal(channel, tissues * factor)


def test_flips_happen_along_every_axis(tmp_path):
    x, y, z = np.meshgrid(*map(np.arange, SIZE), indexing="ij")
    image = np.stack([x, y, z, x]) + 1  # a ramp along each axis
    directions = {
        tuple(bool(patch[axis].diff(dim=axis).sum() > 0) for axis in range(3))
        for patch, _ in cuts(cached_case(tmp_path, np.ones(SIZE), image), count=60)
    }
    assert len(directions) == 8


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_asked_share_of_patches_holds_the_tumor(tmp_path, share):
    label = np.zeros((64, 64, 64), np.uint8)
    label[50, 10, 33] = Tissue.EDEMA
    patches = cuts(cached_case(tmp_path, label), PatchSampler((16, 16, 16), share), count=200)
    hits = np.mean([bool(tissues.any()) for _, tissues in patches])
    # A patch that is placed anywhere meets this voxel in one of thirty.
    assert hits == pytest.approx(share + (1 - share) / 30, abs=0.1)
    if share == 1:
        assert hits == 1


def test_a_rare_tissue_is_met_as_often_as_a_common_one(tmp_path):
    label = np.zeros((64, 64, 64), np.uint8)
    label[40:, 40:, 40:] = Tissue.EDEMA
    label[10, 10, 10] = Tissue.ENHANCING
    patches = cuts(cached_case(tmp_path, label), PatchSampler((16, 16, 16), 1.0), count=100)
    assert np.mean([bool((tissues == Tissue.ENHANCING).any()) for _, tissues in patches]) > 0.35


def test_a_case_without_tumor_still_gives_patches(tmp_path):
    case = cached_case(tmp_path, np.zeros((20, 30, 20)), np.ones((4, 20, 30, 20)))
    assert not any(tissues.any() for _, tissues in cuts(case, PatchSampler(SIZE, 1.0)))
