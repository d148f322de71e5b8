"""A case that can't be used is looked at all the same, file by file, as far as that goes."""

import nibabel as nib
import numpy as np
import pytest

from consilium.data.checks import Severity
from consilium.tasks.segmentation.checks.case import volume_of

from .damage import damages
from .test_corpus import CASE, OTHER, codes_of


def damage(name, hospital):
    next(one for one in damages() if one.name == name).apply(hospital, CASE, OTHER)


def of(checked, code):
    return [one for one in checked.findings if (one.case_id, one.code.value) == (CASE, code)]


def path_of(hospital, kind):
    return hospital / CASE / f"{CASE}_{kind}.nii.gz"


def change(hospital, kind, how):
    path = path_of(hospital, kind)
    image = nib.load(path)
    nib.Nifti1Image(how(np.asanyarray(image.dataobj)), image.affine, image.header).to_filename(path)


def test_each_missing_image_is_named(two_patients, check):
    for kind in ("t1", "t2"):
        path_of(two_patients, kind).unlink()
    checked = check(two_patients)
    assert {one.image for one in of(checked, "missing_image")} == {"t1", "t2"}
    assert [problem.code.value for problem in checked.cohort.problems] == ["missing_image"]


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("skull and scalp", "not_skull_stripped"),
        ("noise around the head", "nonzero_background"),
        ("clipped", "clipped_intensity"),
        ("eight bits", "eight_bit"),
        ("a name", "identifying_header"),
        pytest.param("meters", "unit_not_mm", marks=pytest.mark.long),
        pytest.param("half a brain", "partial_coverage", marks=pytest.mark.long),
        pytest.param("an image mirrored", "not_registered", marks=pytest.mark.long),
        pytest.param("a label moved", "label_shifted", marks=pytest.mark.long),
        pytest.param("an empty label", "empty_label", marks=pytest.mark.long),
    ],
)
def test_where_an_image_is_missing_the_others_are_looked_at(name, code, two_patients, check):
    damage(name, two_patients)
    missing = "t1" if name not in ("a name", "meters") else "t1ce"
    path_of(two_patients, missing).unlink()
    found = codes_of(check(two_patients), CASE)
    assert "missing_image" in found
    assert code in found or (code == "label_shifted" and "label_outside_brain" in found)


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    "name", ["other shape", "other position", "NaN", "half a file", "4D", "half a label"]
)
def test_whatever_is_wrong_with_one_file_the_skull_in_the_others_is_seen(name, two_patients, check):
    damage("skull and scalp", two_patients)
    damage(name, two_patients)
    found = of(check(two_patients), "not_skull_stripped")
    assert len({one.image for one in found} - {None}) >= 3


@pytest.mark.long
def test_images_on_grids_of_their_own_are_looked_at_one_by_one(two_patients, check):
    damage("skull and scalp", two_patients)
    for size, kind in enumerate(("t1ce", "t2", "flair"), start=1):
        change(two_patients, kind, lambda a, size=size: a[:, :, size:])
    checked = check(two_patients)
    assert {one.image for one in of(checked, "not_skull_stripped")} == {"t1", "t1ce", "t2", "flair"}
    assert volume_of(checked, CASE).image_spacing_mm.keys() == {"t1", "t1ce", "t2", "flair"}


@pytest.mark.long
def test_a_label_that_means_nothing_hides_nothing_of_the_images(two_patients, check):
    damage("skull and scalp", two_patients)
    damage("an unknown value", two_patients)
    checked = check(two_patients)
    assert {"bad_label_value", "not_skull_stripped"} <= codes_of(checked, CASE)
    assert [case.id for case in checked.cohort.cases] == [OTHER]


def test_a_head_with_its_skull_is_no_part_of_a_brain(two_patients, check):
    damage("skull and scalp", two_patients)
    for kind in ("t1", "t1ce", "t2", "flair", "seg"):  # as a scanner cuts it off: the neck is longer
        change(two_patients, kind, lambda a: a[:, :, a.shape[2] // 3 :])
    found = codes_of(check(two_patients), CASE)
    assert "not_skull_stripped" in found
    assert "partial_coverage" not in found


@pytest.mark.long
def test_a_slab_is_said_to_be_one_in_words_that_are_true(two_patients, check):
    damage("half a brain", two_patients)
    (slab,) = of(check(two_patients), "partial_coverage")
    assert slab.severity is Severity.WARNING
    assert "100%" not in slab.detail


@pytest.mark.long
def test_one_case_is_one_problem_however_much_is_found(two_patients, check):
    damage("skull and scalp", two_patients)
    damage("a modality is missing", two_patients)
    checked = check(two_patients)
    assert [problem.case_id for problem in checked.cohort.problems] == [CASE]
