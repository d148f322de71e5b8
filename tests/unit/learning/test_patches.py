from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from consilium.errors import TrainingError
from consilium.learning.patches import PatchRecipe, PatchStream, change_contrast, patch_loader
from consilium.learning.processes.ranks import BatchShare
from consilium.tasks.brain_tumor.labels import Tissue

from .tiny import LEARNING, cached_case

SIZE = (16, 24, 16)
RECIPE = PatchRecipe(SIZE, foreground_share=0.5)


def random_label(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8)


def cuts(case, recipe=RECIPE, count=20, seed=1):
    random = np.random.default_rng(seed)
    return [recipe.cut(case, recipe.place(case, random)) for _ in range(count)]


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


def nothing_lost(cases):
    return torch.zeros(len(cases), dtype=torch.uint8)


def stream(cases, seed, count=12, recipe=RECIPE, lost=None):
    lost = nothing_lost(cases) if lost is None else lost
    patches = iter(PatchStream(cases, recipe, seed, BatchShare(1), lost))
    return [next(patches) for _ in range(count)]


def test_a_seed_repeats_and_another_does_not(tmp_path):
    cases = [cached_case(tmp_path, random_label((30, 40, 20), seed), name=f"P{seed}") for seed in range(3)]
    first, again, other = stream(cases, 5), stream(cases, 5), stream(cases, 6)
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a[0], b[0]) for a, b in zip(first, other, strict=True))


def test_every_case_comes_once_before_any_comes_again(tmp_path):
    cases = [cached_case(tmp_path, np.full(SIZE, tissue), name=f"P{tissue}") for tissue in (1, 2, 3, 4)]
    seen = [int(tissues.max()) for _, tissues, _ in stream(cases, 0, count=40)]
    epochs = [tuple(seen[start : start + 4]) for start in range(0, 40, 4)]
    assert all(sorted(epoch) == [1, 2, 3, 4] for epoch in epochs)
    assert len(set(epochs)) > 1  # not always in one order


@pytest.mark.parametrize("seed", range(5))
def test_so_many_patches_are_of_as_many_patients(tmp_path, seed):
    visits = [("Ann", 5), ("Bob", 1), ("Cid", 3), ("Dot", 1)]
    cases = [
        replace(cached_case(tmp_path, np.ones(SIZE), name=f"{patient}{visit}"), patient=patient)
        for patient, count in visits
        for visit in range(count)
    ]
    places = [int(place) for *_, place in stream(cases, seed, count=20)]
    assert len({cases[place].patient for place in places[:4]}) == 4
    assert sorted(places[:10]) == sorted(places[10:]) == list(range(10))


@pytest.mark.parametrize("workers", [0, 1, 2, 5, 16])
@pytest.mark.parametrize("batch", [1, 2, 4])
def test_workers_show_other_patients_than_one_another(tmp_path, workers, batch):
    cases = [cached_case(tmp_path, np.ones(SIZE), name=f"P{index}") for index in range(6)]
    loader = patch_loader(
        cases,
        LEARNING.model_copy(update={"batch_size": batch}),
        seed=0,
        share=BatchShare(batch),
        lost=nothing_lost(cases),
        workers=workers,
        pin_memory=False,
    )
    batches = iter(loader)
    shown = [next(batches)[2].tolist() for _ in range(max(1, min(workers, len(cases) // batch)))]
    places = [place for batch in shown for place in batch]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("file", ["image.npy", "label.npy", "voxels.npy"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:100])])
def test_a_case_that_can_no_longer_be_read_is_left_out(tmp_path, file, damage):
    cases = [cached_case(tmp_path, np.full(SIZE, tissue), name=f"P{tissue}") for tissue in (1, 2, 3)]
    damage(cases[1].folder / file)
    lost = nothing_lost(cases)
    seen = [int(tissues.max()) for _, tissues, _ in stream(cases, 0, count=20, lost=lost)]
    assert sorted(seen) == [1] * 10 + [3] * 10
    assert lost.tolist() == [0, 1, 0]


def test_a_batch_is_complete_although_a_case_was_lost(tmp_path):
    cases = [cached_case(tmp_path, np.full(SIZE, tissue), name=f"P{tissue}") for tissue in (1, 2, 3)]
    (cases[0].folder / "image.npy").unlink()
    settings = LEARNING.model_copy(update={"batch_size": 2, "patch_voxels": SIZE})
    loader = patch_loader(
        cases,
        settings,
        seed=0,
        share=BatchShare(2),
        lost=nothing_lost(cases),
        workers=0,
        pin_memory=False,
    )
    batches = iter(loader)
    seen = [next(batches)[1].amax(dim=(1, 2, 3)).tolist() for _ in range(6)]
    assert all(len(batch) == 2 for batch in seen)
    assert {tissue for batch in seen for tissue in batch} == {2, 3}


def test_without_any_case_left_the_round_stops(tmp_path):
    case = cached_case(tmp_path, np.full(SIZE, 1))
    (case.folder / "image.npy").unlink()
    with pytest.raises(TrainingError, match="none of the training cases"):
        stream([case], 0)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_asked_share_of_patches_holds_the_tumor(tmp_path, share):
    label = np.zeros((64, 64, 64), np.uint8)
    label[50, 10, 33] = Tissue.EDEMA
    patches = cuts(cached_case(tmp_path, label), PatchRecipe((16, 16, 16), share), count=200)
    hits = np.mean([bool(tissues.any()) for _, tissues in patches])
    # A patch that is placed anywhere meets this voxel in one of thirty.
    assert hits == pytest.approx(share + (1 - share) / 30, abs=0.1)
    if share == 1:
        assert hits == 1


def test_a_rare_tissue_is_met_as_often_as_a_common_one(tmp_path):
    label = np.zeros((64, 64, 64), np.uint8)
    label[40:, 40:, 40:] = Tissue.EDEMA
    label[10, 10, 10] = Tissue.ENHANCING
    patches = cuts(cached_case(tmp_path, label), PatchRecipe((16, 16, 16), 1.0), count=100)
    assert np.mean([bool((tissues == Tissue.ENHANCING).any()) for _, tissues in patches]) > 0.35


def test_a_case_without_tumor_still_gives_patches(tmp_path):
    case = cached_case(tmp_path, np.zeros((20, 30, 20)), np.ones((4, 20, 30, 20)))
    assert not any(tissues.any() for _, tissues in cuts(case, PatchRecipe(SIZE, 1.0)))


def test_a_loader_stacks_patches(tmp_path):
    settings = LEARNING.model_copy(update={"batch_size": 3})
    case = cached_case(tmp_path, random_label((20, 20, 20)))
    loader = patch_loader(
        [case],
        settings,
        seed=0,
        share=BatchShare(3),
        lost=nothing_lost([case]),
        workers=0,
        pin_memory=False,
    )
    image, tissues, places = next(iter(loader))
    assert image.shape == (3, 4, 16, 16, 16)
    assert tissues.shape == (3, 16, 16, 16)
    assert places.tolist() == [0, 0, 0]
