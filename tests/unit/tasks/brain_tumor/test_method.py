import numpy as np
import torch

from consilium.tasks import get_task
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings
from consilium.tasks.brain_tumor.method import change_contrast, drop_modalities
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


def dropped(images, probability=0.5, seed=0, share=None):
    given = share or BatchShare(len(images)), torch.Generator().manual_seed(seed), probability
    return drop_modalities(images.clone(), *given)


def shown(images):
    return (images != 0).flatten(2).any(dim=2)


def test_a_dropped_modality_is_zero_everywhere_and_the_others_stay_as_they_are():
    images = torch.rand(64, 4, 2, 2, 2) + 1
    after = dropped(images)
    kept = shown(after)
    assert torch.equal(after, images * kept[:, :, None, None, None])
    assert 0.4 < kept.float().mean() < 0.65
    assert {tuple(row) for row in kept.tolist()} > {(True,) * 4, (False, True, False, True)}


def test_a_patch_keeps_at_least_one_modality_that_its_case_has():
    images = torch.rand(500, 4, 2, 2, 2) + 1
    images[:, [0, 2]] = 0  # cases without T1 and T2
    for probability in (0.5, 1.0):
        after = shown(dropped(images, probability))
        assert after.any(dim=1).all()
        assert not after[:, [0, 2]].any()
    assert torch.equal(dropped(torch.zeros(3, 4, 2, 2, 2), 1.0), torch.zeros(3, 4, 2, 2, 2))


def test_each_process_drops_in_its_rows_what_one_process_would():
    images = torch.rand(5, 4, 2, 2, 2) + 1
    shares = [BatchShare(5, rank, 2) for rank in range(2)]
    parts = [dropped(images[share.rows], share=share) for share in shares]
    assert torch.equal(torch.cat(parts), dropped(images))


def test_without_dropout_training_draws_as_before():
    images, generator = torch.rand(2, 4, 4, 4, 4), torch.Generator()
    method = get_task("brain_tumor").method
    after = [
        method.augment(images.clone(), BatchShare(2), generator.manual_seed(1), BrainTumorSettings(**values))
        for values in ({}, {"modality_dropout": 0.5})
    ]
    assert torch.equal(after[0], changed(images, 1))
    assert shown(after[1]).sum() < 8
