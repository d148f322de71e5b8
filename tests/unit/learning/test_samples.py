from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from consilium.errors import TrainingError
from consilium.learning.samples import SampleStream, sample_loader
from consilium.tasks.method import BatchShare
from consilium.tasks.segmentation.patches import PatchSampler

from .tiny import cached_case

SIZE = (16, 24, 16)
SAMPLER = PatchSampler(SIZE, foreground_share=0.5)
SMALL = PatchSampler((16, 16, 16), foreground_share=0.5)


def random_label(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8)


def nothing_lost(cases):
    return torch.zeros(len(cases), dtype=torch.uint8)


def stream(cases, seed, count=12, sampler=SAMPLER, lost=None):
    lost = nothing_lost(cases) if lost is None else lost
    patches = iter(SampleStream(cases, sampler, seed, BatchShare(1), lost))
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


@pytest.mark.quick_cases(2)
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


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("workers", [0, 1, 2, 5, 16])
@pytest.mark.parametrize("batch", [2, *(pytest.param(more, marks=pytest.mark.long) for more in (1, 4))])
def test_workers_show_other_patients_than_one_another(tmp_path, workers, batch):
    cases = [cached_case(tmp_path, np.ones(SIZE), name=f"P{index}") for index in range(6)]
    loader = sample_loader(
        cases,
        SMALL,
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


@pytest.mark.quick_cases(2)
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
    loader = sample_loader(
        cases,
        SMALL,
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


def test_a_loader_stacks_patches(tmp_path):
    case = cached_case(tmp_path, random_label((20, 20, 20)))
    loader = sample_loader(
        [case],
        SMALL,
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
