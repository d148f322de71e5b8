"""Hot, wrapped and stray voxels and odd slices are found, and flatten no brain and enlarge no crop."""

import nibabel as nib
import numpy as np
import pytest
from data.hospital import preprocess

from consilium.data.checks import Severity
from consilium.data.cohort import read_cohort
from consilium.tasks.brain_tumor.cases import CASES
from tasks.brain_tumor.checks.damage import damages, hot_damages
from tasks.brain_tumor.checks.test_corpus import CASE, OTHER, codes_of

STRAY = next(damage for damage in damages() if damage.name == "bright voxels in the background")
HOT, *MORE_HOT = hot_damages()
SETTINGS = CASES.preprocessing(3.5)


def prepared(hospital):
    cohort = read_cohort(hospital, case_format=CASES)
    return preprocess(cohort.cases[0], cohort.convention, SETTINGS)


def in_file(case, images=None):
    """The label, or the images, on the voxels of the file."""
    if images is None:
        return case.geometry.to_file_grid(np.asarray(case.reference))
    return [case.geometry.to_file_grid(image) for image in images]


def change(hospital, kind, edit):
    path = hospital / CASE / f"{CASE}_{kind}.nii.gz"
    image = nib.load(path)
    nib.Nifti1Image(edit(np.asanyarray(image.dataobj).astype(np.int32)), image.affine).to_filename(path)


def findings_of(checked, code):
    return [one for one in checked.findings if one.code.value == code]


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    "damage",
    [STRAY, HOT, *(pytest.param(one, marks=pytest.mark.long) for one in MORE_HOT)],
    ids=lambda damage: damage.name.replace(" ", "-"),
)
def test_the_brain_keeps_its_contrast_and_the_crop_its_size(damage, two_patients, check):
    healthy = prepared(two_patients)
    damage.apply(two_patients, CASE, OTHER)
    damaged = prepared(two_patients)
    crops = np.array([one.geometry.crop_start + one.geometry.crop_stop for one in (healthy, damaged)])
    assert np.abs(crops[0] - crops[1]).max() <= 1  # a voxel that touches the head belongs to it
    assert np.array_equal(in_file(damaged), in_file(healthy))
    images = [in_file(one, one.image) for one in (healthy, damaged)]
    for before, after in zip(*images, strict=True):
        inside = (before != 0) & (np.abs(after) < 10)
        spread = [np.subtract(*np.percentile(one[inside].astype(float), (95, 5))) for one in (before, after)]
        assert spread[1] == pytest.approx(spread[0], rel=0.2)
    checked = check(two_patients)
    assert {case.id for case in checked.cohort.cases} == {CASE, OTHER}  # a warning: the case is used


@pytest.mark.long
def test_it_is_said_how_many_voxels_are_hot_and_where(two_patients, check):
    next(one for one in hot_damages() if one.name == "hot voxels in the background").apply(
        two_patients, CASE, OTHER
    )
    (finding,) = findings_of(check(two_patients), "hot_voxels")
    assert (finding.severity, finding.image) == (Severity.WARNING, "flair")
    assert finding.detail.startswith("30 voxels, ")
    assert "30 of them are outside the anatomy" in finding.detail


def test_half_of_an_image_wrapped_is_found(two_patients, check):
    def wrap(array):
        return np.where(array != 0, array - int(np.median(array[array != 0])), 0).astype(np.uint16)

    change(two_patients, "t1", wrap)
    (finding,) = findings_of(check(two_patients), "hot_voxels")
    assert "uint16 ends there" in finding.detail


def scaled(axis, factor):
    def edit(array):
        place = [slice(None)] * 3
        place[axis] = array.shape[axis] // 2
        array[tuple(place)] = np.rint(array[tuple(place)] * factor)
        return array

    return edit


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("factor", [0, 3])
def test_a_slice_that_is_blank_or_brighter_is_found(axis, factor, two_patients, check):
    change(two_patients, "flair", scaled(axis, factor))
    (finding,) = findings_of(check(two_patients), "odd_slice")
    assert finding.image == "flair"
    assert "1 slice differs in brightness" in finding.detail


@pytest.mark.long
def test_strays_are_found_in_images_of_any_number_type(two_patients, check):
    def stray(array):
        array[0, 0, 0] = 3
        return array.astype(np.float32)

    change(two_patients, "t2", stray)
    assert codes_of(check(two_patients), CASE) == {"stray_voxels"}
