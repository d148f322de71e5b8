import json

import nibabel as nib
import numpy as np
import pytest
import torch
from data.hospital import MODALITIES, Hospital, head, label

from consilium.data.cache import CaseCache
from consilium.data.cohort import read_cohort
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.segmentation.nifti.reading import read_nifti
from consilium.tasks.segmentation.regions import Region, to_regions
from consilium.tasks.segmentation.volume_case import VolumeCase
from nnunet_parts.raw_data import (
    RawDataset,
    cases_and_outputs,
    describe_dataset,
    known_values,
    read_prediction,
)

TASK = get_task("brain_tumor")
ROTATED = np.array([[0.0, -1, 0, 3], [0, 0, 2, -4], [-1, 0, 0, 5], [0, 0, 0, 1]])
"""Axes of another order and direction than RAS, voxels of unequal sides."""


def prepare(folder, cache):
    cohort = read_cohort(folder, case_format=CASES, convention="brats-2018")
    prepared = CaseCache(cache, case_format=CASES, settings=CASES.preprocessing(1.0)).prepare(cohort)
    return [VolumeCase.of(case) for case in prepared.cases]


@pytest.fixture
def case(tmp_path):
    """One whose files are stored along other axes, with an edema, a core and an enhancing block."""
    hospital = Hospital(tmp_path / "in")
    for index, name in enumerate(MODALITIES):
        hospital.image(f"JOHN/JOHN_{name}.nii.gz", head(seed=index), ROTATED)
    hospital.image("JOHN/JOHN_seg.nii.gz", label((0, 1, 2, 4)), ROTATED)
    (case,) = prepare(tmp_path / "in", tmp_path / "cache")
    return case


@pytest.fixture
def raw(tmp_path):
    return RawDataset(tmp_path / "raw/Dataset001_Benchmark", TASK.inputs, TASK.targets)


def test_images_are_the_hospital_s_voxels_under_a_number(case, raw):
    raw.write([case], [])
    for name, path in zip(TASK.inputs, raw.images(0, labeled=True), strict=True):
        written, source = (nib.load(one) for one in (path, case.origin.case.images[name].path))
        assert np.array_equal(written.get_fdata(), source.get_fdata())
        assert np.allclose(written.affine, source.affine)
    assert [path.name for path in raw.folder.rglob("*") if "JOHN" in path.name] == []
    assert b"JOHN" not in raw.description.read_bytes()


def test_a_label_is_the_hospital_s_in_canonical_values(case, raw):
    raw.write([case], [])
    written = nib.load(raw.folder / "labelsTr/case_0000.nii.gz")
    assert np.array_equal(np.asarray(written.dataobj), label((0, 1, 2, 3)))
    assert np.allclose(written.affine, ROTATED)


def test_labels_of_held_out_patients_stay_behind(case, raw):
    raw.write([], [case])
    assert list((raw.folder / "labelsTr").iterdir()) == []
    assert all(path.exists() for path in raw.images(0, labeled=False))
    assert json.loads(raw.description.read_text())["numTraining"] == 0


def test_channels_of_one_file_become_files(tmp_path, raw):
    Hospital(tmp_path / "in").decathlon("BRATS_001")
    cohort = read_cohort(tmp_path / "in", case_format=CASES, convention="brats-2023")
    cache = CaseCache(tmp_path / "cache", case_format=CASES, settings=CASES.preprocessing(1.0))
    raw.write(cache.prepare(cohort).cases, [])
    images = [nib.load(path) for path in raw.images(0, labeled=True)]
    assert {image.ndim for image in images} == {3}
    assert len({float(image.get_fdata().max()) for image in images}) == len(TASK.inputs)


def test_only_missing_cases_are_written(case, raw):
    raw.write([case], [])
    kept, lost = raw.images(0, labeled=True)[:2]
    before = kept.stat().st_mtime_ns
    raw.write([case], [])
    assert kept.stat().st_mtime_ns == before
    lost.unlink()
    raw.write([case], [])
    assert lost.exists()


def test_a_prediction_in_the_file_s_axes_is_scored_as_perfect(case, raw):
    raw.write([case], [])
    found = read_prediction(raw.folder / "labelsTr/case_0000.nii.gz", case, TASK.targets)
    assert torch.equal(found, to_regions(torch.from_numpy(np.array(case.reference)), TASK.targets))
    scores = TASK.evaluation.score(found, case, final=True)
    assert {name: value for name, value in scores.items() if name.startswith("dice")} == {
        "dice_tc": 1.0,
        "dice_wt": 1.0,
        "dice_et": 1.0,
    }


def test_a_prediction_on_other_voxels_is_an_error(case, tmp_path):
    stored = read_nifti(case.origin.case.target_file.path, case_id="A")
    moved = nib.Nifti1Image(stored.array.astype(np.uint8), stored.affine + np.eye(4, k=3))
    moved.to_filename(tmp_path / "moved.nii.gz")
    with pytest.raises(ValueError, match="doesn't lie on the voxels"):
        read_prediction(tmp_path / "moved.nii.gz", case, TASK.targets)


def test_regions_come_from_the_largest_to_the_innermost():
    described = describe_dataset(TASK.inputs, TASK.targets, 5)
    assert list(described["labels"].items()) == [
        ("background", 0),
        ("wt", [1, 2, 3]),
        ("tc", [1, 3]),
        ("et", [3]),
    ]
    assert described["regions_class_order"] == [2, 1, 3]
    assert described["channel_names"] == {"0": "t1", "1": "t1ce", "2": "t2", "3": "flair"}


def test_regions_beside_each_other_keep_their_values():
    regions = [Region("a", "A", frozenset({1})), Region("b", "B", frozenset({2}))]
    assert describe_dataset(["ct"], regions, 1)["regions_class_order"] == [1, 2]


def test_what_belongs_to_no_region_is_background():
    array = np.array([0, 1, 2, 3, 4], np.uint8)
    assert known_values(array, TASK.targets).tolist() == [0, 1, 2, 3, 0]


def test_held_out_cases_are_numbered_after_those_to_train_on(raw, tmp_path):
    ((images, out),) = cases_and_outputs(raw, tmp_path, first=28, count=1)
    assert out == str(tmp_path / "case_0028.nii.gz")
    assert images[0].endswith("imagesTs/case_0028_0000.nii.gz")
