"""One examination under two ids is found, whatever was done to it, and one of the two is kept."""

import itertools
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from data.hospital import read_native
from scipy import ndimage

from consilium.data.case import Case, ImageFile
from consilium.data.case_check import CaseCheck
from consilium.data.checks import Severity
from consilium.data.checks.patients import check_patients
from consilium.data.cohort import read_cohort
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.brain_tumor.checks.appearance import ALIKE, alike, describe_appearance, similarity
from consilium.tasks.brain_tumor.checks.case import CHECKS

from .damage import IMAGES, damages

CASE, OTHER = "BraTS2021_00000", "BraTS2021_00001"
REPOSITORY = Path(__file__).parents[5]
REAL = Path(os.environ.get("CONSILIUM_REAL_DATA") or REPOSITORY / "../shared/data/real")


def views(folder):
    cohort = read_cohort(folder, case_format=CASES)
    for case in cohort.cases:
        yield CHECKS.view(case, read_native(CASES, case, cohort.convention), IMAGES, cohort.convention)


def findings(checked, code):
    return [one for one in checked.findings if one.code.value == code]


@pytest.mark.long
def test_a_copy_with_other_intensities_is_left_out_and_its_original_used(two_patients, check):
    (brighter,) = (one for one in damages() if one.name == "the examination brighter under another id")
    brighter.apply(two_patients, CASE, OTHER)
    checked = check(two_patients)
    assert [case.id for case in checked.cohort.cases] == [CASE]
    (copy,) = (one for one in checked.findings if one.severity is Severity.ERROR)
    assert (copy.code.value, copy.case_id) == ("duplicate_examination", OTHER)
    assert CASE in copy.detail


@pytest.mark.long
def test_of_three_copies_one_is_used(two_patients, check):
    shutil.rmtree(two_patients / OTHER)
    shutil.copytree(two_patients / CASE, two_patients / OTHER)
    for path in (two_patients / OTHER).iterdir():
        path.rename(path.with_name(path.name.replace(CASE, OTHER)))
    (brighter,) = (one for one in damages() if one.name == "the examination brighter under another id")
    third = "BraTS2021_00002"
    shutil.copytree(two_patients / CASE, two_patients / third)
    for path in (two_patients / third).iterdir():
        path.rename(path.with_name(path.name.replace(CASE, third)))
    brighter.apply(two_patients, third, CASE)
    checked = check(two_patients)
    assert [case.id for case in checked.cohort.cases] == [CASE]
    assert len(findings(checked, "duplicate_examination")) == 2


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("what", ["turned", "resampled"])
def test_a_copy_that_was_moved_or_resampled_is_a_warning_at_both(two_patients, check, what):
    (change,) = (one for one in damages() if one.name == f"the examination {what} under another id")
    change.apply(two_patients, CASE, OTHER)
    checked = check(two_patients)
    warned = findings(checked, "possible_same_examination")
    assert {one.case_id for one in warned} == {CASE, OTHER}
    assert len(checked.cohort.cases) == 2
    assert all(ALIKE <= one.confidence <= 1 for one in warned)


def test_patients_of_one_scanner_are_not_alike(archive):
    described = {}
    for scanner, folder in archive.items():
        for view in views(folder):
            described[scanner + view.case.id] = describe_appearance(view)
    assert len(described) == 5
    assert None not in described.values()
    assert list(alike(described)) == []
    for one in described.values():
        np.testing.assert_allclose(similarity(one, one), 1, rtol=1e-4)


def test_too_little_brain_looks_like_nothing(archive):
    view = next(views(archive["aster"]))
    images = {name: image[:, :, :4] for name, image in view.native.images.items()}
    native = view.native.__class__(**{**vars(view.native), "images": images, "reference": None})
    assert describe_appearance(CHECKS.view(view.case, native, IMAGES, None)) is None
    assert list(alike({})) == []


def case(case_id, patient):
    return Case(id=case_id, patient=patient, images={"t1": ImageFile(Path(case_id))}, target=None)


def test_two_visits_of_a_declared_patient_may_look_alike(archive):
    described = describe_appearance(next(views(archive["aster"])))
    checks = {case_id: CaseCheck(read=(), images={"t1": case_id}, appearance=described) for case_id in "AB"}
    assert list(check_patients([case("A", "P"), case("B", "P")], checks, CHECKS)) == []
    found = [one.code.value for one in check_patients([case("A", "A"), case("B", "B")], checks, CHECKS)]
    assert found == ["possible_same_examination"] * 2


@pytest.mark.long
@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real patients in {REAL}: set CONSILIUM_REAL_DATA")
def test_real_patients_look_like_themselves_turned_and_like_nobody_else():
    heads = [head for name in ("msd_task01", "tcga_lgg") for head in views(REAL / name)]
    described = [describe_appearance(head) for head in heads]
    for one, other in itertools.combinations(described, 2):
        assert similarity(one, other).mean() < 0.4
    for head, before in zip(heads, described, strict=True):
        images = {name: ndimage.rotate(image, 5, order=1) for name, image in head.native.images.items()}
        native = head.native.__class__(**{**vars(head.native), "images": images, "reference": None})
        turned = describe_appearance(CHECKS.view(head.case, native, IMAGES, None))
        assert similarity(before, turned).mean() > 0.9
