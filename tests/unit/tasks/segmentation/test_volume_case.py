"""Cases of volumes in the cache."""

import numpy as np
import pytest
from data.hospital import MODALITIES, head, preprocess

from consilium.data.cache import CaseCache
from consilium.data.cached_case import CachedCase
from consilium.data.cohort import read_cohort
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.brain_tumor.label_conventions import Tissue
from consilium.tasks.segmentation.volume_case import VolumeCase

SETTINGS = CASES.preprocessing(1.0)


@pytest.fixture
def cohort(hospital):
    for case_id in "ABC":
        hospital.brats(case_id)
    return read_cohort(hospital.folder, case_format=CASES)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def test_a_cached_case_holds_what_preprocessing_gave(cohort, folder):
    prepared = CaseCache(folder, case_format=CASES, settings=SETTINGS).prepare(cohort)
    assert [case.id for case in prepared.cases] == ["A", "B", "C"]
    for source, cached in zip(cohort.cases, prepared.cases, strict=True):
        expected = preprocess(source, cohort.convention, SETTINGS)
        assert np.array_equal(cached.image, expected.image)
        assert np.array_equal(cached.label, expected.label)
        assert np.array_equal(cached.reference, expected.reference)
        assert cached.geometry == expected.geometry
        assert not cached.image.flags.writeable
        assert isinstance(cached.image, np.memmap)


def test_sampled_voxels_lie_in_their_tissue(cohort, folder):
    case = CaseCache(folder, case_format=CASES, settings=SETTINGS).prepare(cohort).cases[0]
    assert set(case.class_voxels) == {Tissue.NECROTIC_CORE, Tissue.EDEMA, Tissue.ENHANCING}
    for tissue, voxels in case.class_voxels.items():
        assert voxels.shape == (8, 3)  # all of the 2x2x2 block
        assert (case.label[tuple(voxels.T)] == tissue).all()


def test_large_tissues_are_sampled_the_same_way_each_time(hospital, folder, tmp_path):
    drawn = np.zeros((40, 40, 40), np.uint8)
    drawn[10:30, 10:30, 10:30] = 2
    for index, modality in enumerate(MODALITIES):
        hospital.image(f"A/A_{modality}.nii", head((40, 40, 40), seed=index))
    hospital.image("A/A_seg.nii", drawn)
    cohort = read_cohort(hospital.folder, case_format=CASES)
    voxels = [
        CaseCache(place, case_format=CASES, settings=SETTINGS)
        .prepare(cohort)
        .cases[0]
        .class_voxels[Tissue.EDEMA]
        for place in (folder, tmp_path / "again")
    ]
    assert voxels[0].shape == (2048, 3)
    assert len(np.unique(voxels[0], axis=0)) == 2048
    assert np.array_equal(*voxels)


def test_unlabeled_cases_are_prepared_too(hospital, folder):
    hospital.brats("A", None)
    (case,) = (
        CaseCache(folder, case_format=CASES, settings=SETTINGS)
        .prepare(read_cohort(hospital.folder, case_format=CASES))
        .cases
    )
    assert case.image.shape[0] == 4
    assert (case.label, case.reference, dict(case.class_voxels)) == (None, None, {})


def test_a_case_of_another_problem_is_no_case_of_volumes(tmp_path):
    with pytest.raises(TypeError, match="CachedCase"):
        VolumeCase.of(CachedCase("A", "A", tmp_path, labeled=True))
