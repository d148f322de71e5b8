"""A segmentation of another organ, composed of the parts: chest CT, one input, one region."""

from dataclasses import replace
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from consilium.data.cache import CaseCache
from consilium.data.checks import check_cohort
from consilium.data.cohort import read_cohort
from consilium.errors import ConfigurationError, DataError
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.segmentation.cases import SegmentationCases
from consilium.tasks.segmentation.codes import VolumeCode
from consilium.tasks.segmentation.labels import FixedLabels
from consilium.tasks.segmentation.layouts.vocabulary import Vocabulary
from consilium.tasks.segmentation.preparation.normalization import IntensityWindow, StandardizedForeground

CT = SegmentationCases(
    name="chest_ct",
    inputs=("ct",),
    vocabulary=Vocabulary(images={"ct": ("ct",)}, labels=(("mask", "lesion"),)),
    labels=FixedLabels({1: 1}),
    normalization=IntensityWindow(-1000, 400),
)
AIR, SOFT = -1000, 40
SPACING = (1.0, 1.5, 3.0)


@pytest.fixture
def scans(tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    for seed, patient in enumerate("ABC"):
        write_scan(folder, patient, seed=seed)
    return folder


def write_scan(folder, patient, *, seed=0, values=(1,)):
    random = np.random.default_rng(seed)
    image = np.full((40, 32, 24), AIR, np.int16)
    image[8:32, 6:26, 4:20] = random.normal(SOFT, 30, (24, 20, 16))
    label = np.zeros(image.shape, np.uint8)
    for number, value in enumerate(values):
        label[12 + 5 * number : 16 + 5 * number, 10:14, 8:12] = value
        image[label == value] += 120
    affine = np.diag([*SPACING, 1.0])
    nib.Nifti1Image(image, affine).to_filename(folder / f"{patient}_ct.nii.gz")
    nib.Nifti1Image(label, affine).to_filename(folder / f"{patient}_mask.nii.gz")


def test_scans_are_found_checked_and_prepared(scans, tmp_path):
    cohort = read_cohort(scans, case_format=CT)
    assert (cohort.layout, cohort.convention, cohort.labels) == ("file-per-image", None, 3)
    settings = CT.preparation(SimpleNamespace(spacing_mm=(2.0, 1.5, 3.0)))
    cache = CaseCache(tmp_path / "cache", case_format=CT, settings=settings)
    checked = check_cohort(cohort, case_format=CT, folder=tmp_path / "cache", products=(cache,))
    assert [finding.code.value for finding in checked.findings if finding.severity != "info"] == []
    prepared = cache.collect(checked.cohort, checked.made)
    assert [case.id for case in prepared.cases] == ["A", "B", "C"]
    case = prepared.cases[0]
    # The box is that of the patient, not of the air around; only the first axis has larger voxels.
    assert case.geometry.crop_shape == (28, 24, 20)
    assert case.geometry.task_shape == (14, 24, 20)
    assert case.image.shape == (1, 14, 24, 20)
    assert case.image[0, 0, 0, 0] == 0  # air
    assert 0.6 < float(np.median(case.image[case.image > 0.1])) < 0.9
    assert set(case.class_voxels) == {1}
    assert int(case.reference.sum()) == 64


def test_a_value_that_means_nothing_leaves_the_case_out(scans):
    write_scan(scans, "B", values=(1, 2))
    cohort = read_cohort(scans, case_format=CT)
    assert [case.id for case in cohort.cases] == ["A", "C"]
    assert [(one.case_id, one.code) for one in cohort.problems] == [("B", VolumeCode.BAD_LABEL_VALUE)]


def test_a_hospital_names_its_own_endings_and_no_convention(scans):
    for path in list(scans.glob("*_ct.nii.gz")):
        path.rename(path.with_name(path.name.replace("_ct", "-thorax")))
    with pytest.raises(DataError, match=r"<case>_ct _mask.*--file-ending ct=ct_new"):
        read_cohort(scans, case_format=CT)
    cohort = read_cohort(scans, case_format=CT, file_endings={"ct": ["thorax"]})
    assert [case.labeled for case in cohort.cases] == [True] * 3
    with pytest.raises(ConfigurationError, match="file_endings names 'flair'; known: ct, label"):
        CT.check_endings({"flair": ["x"]})
    with pytest.raises(ConfigurationError, match="labels have but one meaning"):
        read_cohort(scans, case_format=CT, convention="brats-2018")


def test_folders_of_the_decathlon_need_no_description_of_one_channel(scans):
    for name, ending in (("imagesTr", "_ct.nii.gz"), ("labelsTr", "_mask.nii.gz")):
        (scans / name).mkdir()
        for path in list(scans.glob(f"*{ending}")):
            path.rename(scans / name / f"lung_{path.name.replace(ending, '')}.nii.gz")
    cohort = read_cohort(scans, case_format=CT)
    assert (cohort.layout, [case.id for case in cohort.cases]) == (
        "decathlon",
        ["lung_A", "lung_B", "lung_C"],
    )
    assert all(case.images["ct"].channel is None and case.labeled for case in cohort.cases)


def test_no_check_is_skipped_for_want_of_a_limit():
    two = {"ct": ("ct",), "pet": ("pet",)}
    with pytest.raises(ValueError, match=r"2 images a case, .* state VolumeTraits\.registration"):
        replace(CT, inputs=("ct", "pet"), vocabulary=Vocabulary(two))
    with pytest.raises(ValueError, match=r"without a unit .* state VolumeTraits\.outliers"):
        replace(CT, normalization=StandardizedForeground())


def test_checks_repeat_when_a_limit_changes():
    traits = CASES.checks.traits
    looser = replace(traits, outliers=replace(traits.outliers, odd_slice=2.0))
    assert replace(CASES.checks, traits=looser).version != CASES.checks.version
