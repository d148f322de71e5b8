from dataclasses import replace

import numpy as np
import pytest
import torch

from consilium.errors import TrainingError
from consilium.learning.patient_samples import PatientSamples, patient_loader
from consilium.tasks.segmentation.patches import PatchSampler

SAMPLER = PatchSampler((16, 16, 16), foreground_share=0.3)


def batches(cases, draws, *, samples=2, seed=7, lost=None, workers=0):
    lost = torch.zeros(len(cases), dtype=torch.uint8) if lost is None else lost
    lost.share_memory_()
    patients = PatientSamples(cases, SAMPLER, samples, seed, lost)
    return list(patient_loader(patients, draws, lost, workers=workers, pin_memory=False))


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_step_has_the_samples_of_each_drawn_patient_together(cases, workers):
    first, second, third = batches(cases, [[0, 2], [], [1]], workers=workers)
    assert first[2].tolist() == [0, 0, 2, 2]
    assert first[0].shape == (4, 4, 16, 16, 16)
    assert [len(one) for one in second] == [0, 0, 0]
    assert third[2].tolist() == [1, 1]


def test_samples_do_not_depend_on_who_else_is_drawn_and_differ_from_step_to_step(cases):
    alone, together = (batches(cases, draws) for draws in ([[1], [1]], [[0, 1, 2], [1]]))
    assert torch.equal(alone[0][0], together[0][0][2:4])
    assert torch.equal(alone[1][0], together[1][0])
    assert not torch.equal(alone[0][0], alone[1][0])


def test_a_patient_of_many_examinations_has_no_more_samples_than_another(cases):
    visits = [replace(case, patient="Ann" if case.id != "P2" else "Bob") for case in cases]
    drawn = batches(visits, [[0, 1]] * 20)
    assert all(len(places) == 4 and places[2:].tolist() == [2, 2] for _, _, places in drawn)
    assert {place for _, _, places in drawn for place in places[:2].tolist()} == {0, 1}


def test_a_lost_case_is_replaced_by_another_of_the_patient_and_a_lost_patient_left_out(cases):
    visits = [replace(case, patient="Ann" if case.id != "P2" else "Bob") for case in cases]
    lost = torch.zeros(3, dtype=torch.uint8)
    (cases[0].folder / "image.npy").unlink()
    (cases[2].folder / "image.npy").unlink()
    drawn = batches(visits, [[0, 1]] * 10, lost=lost)
    assert all(set(places.tolist()) == {1} and len(places) == 2 for _, _, places in drawn)
    assert lost.tolist() == [1, 0, 1]


def test_without_any_case_that_can_be_read_the_round_fails(cases):
    for case in cases:
        (case.folder / "image.npy").unlink()
    with pytest.raises(TrainingError, match="none of the training cases"):
        batches(cases, [[0, 1, 2]] * 5)


def test_every_patient_is_sampled_by_a_seed_of_its_own(cases):
    images = [np.asarray(batches(cases, [[place]])[0][0]) for place in range(3)]
    assert len({image.tobytes() for image in images}) == 3
