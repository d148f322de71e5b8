import numpy as np
import torch

from consilium.tasks.brain_tumor.method import change_contrast
from consilium.tasks.method import BatchShare


def random_label(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8)


def changed(images, seed=0):
    return change_contrast(images.clone(), BatchShare(len(images)), torch.Generator().manual_seed(seed))


def test_a_change_of_contrast_leaves_the_background_exactly_zero():
    images = torch.from_numpy(random_label((2, 4, 8, 8, 8))).float() - 1
    for seed in range(10):
        after = changed(images, seed)
        assert torch.equal(after == 0, images == 0)
        assert torch.isfinite(after).all()


def test_a_change_of_contrast_keeps_the_order_of_intensities():
    images = torch.arange(1.0, 5.0).repeat(2, 4, 1).reshape(2, 4, 4, 1, 1)
    for seed in range(10):
        assert (changed(images, seed).diff(dim=2) > 0).all()


def test_every_modality_of_every_image_changes_on_its_own():
    after = changed(torch.ones(2, 4, 2, 2, 2))
    assert len(after.amax(dim=(2, 3, 4)).unique()) == 8


def test_a_seed_repeats_a_change_of_contrast():
    images = torch.rand(2, 4, 4, 4, 4)
    assert torch.equal(changed(images, 1), changed(images, 1))
    assert not torch.equal(changed(images, 1), changed(images, 2))
