"""Every way to damage a case is found, and the healthy case beside it stays healthy."""

import nibabel as nib
import numpy as np
import pytest

from consilium.data.case import FolderError
from consilium.data.checks import Severity
from consilium.tasks.brain_tumor.synthetic import (
    DEMO_COHORT,
    CaseLayout,
    CohortSpec,
    HospitalSpec,
    VoxelGrid,
    make_cohort,
)

from .damage import IMAGES, combined, damages

CASE, OTHER = "BraTS2021_00000", "BraTS2021_00001"


def codes_of(checked, case_id):
    return {one.code.value for one in checked.findings if (one.case_id or "").startswith(case_id)}


def one_of_each_code_first():
    """All damages; those that have a code of one before them are long."""
    seen = set()
    for damage in damages():
        yield pytest.param(
            damage,
            id=damage.name.replace(" ", "-"),
            marks=pytest.mark.long if damage.codes <= seen else (),
        )
        seen |= damage.codes


@pytest.mark.quick_cases(11)
@pytest.mark.parametrize("damage", one_of_each_code_first())
def test_a_damage_is_found_and_its_neighbor_stays_healthy(damage, two_patients, check):
    damage.apply(two_patients, CASE, OTHER)
    if "ambiguous_convention" in damage.codes:  # of two labels one in another numbering: which is it?
        with pytest.raises(FolderError, match="Either they are"):
            check(two_patients)
        return
    checked = check(two_patients)
    found = codes_of(checked, CASE)
    neighbor = codes_of(checked, OTHER)
    if damage.also:
        found |= {notice.code.value for notice in checked.cohort.notices}
        found |= neighbor & damage.codes
        neighbor -= damage.codes
    assert found & damage.codes
    assert neighbor == set()
    wrong = {one.case_id for one in checked.findings if one.severity is Severity.ERROR}
    assert wrong.isdisjoint(case.id for case in checked.cohort.cases)


@pytest.mark.long
@pytest.mark.parametrize(
    "pair", combined(), ids=lambda pair: "+".join(one.name.replace(" ", "-") for one in pair)
)
def test_two_damages_of_one_case_are_both_found(pair, two_patients, check):
    for damage in reversed(pair):
        damage.apply(two_patients, CASE, OTHER)
    found = codes_of(check(two_patients), CASE)
    assert all(found & damage.codes for damage in pair)


@pytest.mark.long
def test_what_is_labeled_enhancing_has_to_take_up_contrast_agent(two_patients, check):
    path = two_patients / CASE / f"{CASE}_seg.nii.gz"
    label = nib.load(path)
    edema = np.asanyarray(label.dataobj) == 2
    nib.Nifti1Image((4 * edema).astype(np.uint8), label.affine).to_filename(path)
    checked = check(two_patients)
    assert codes_of(checked, CASE) == {"label_values_swapped"}
    assert [case.id for case in checked.cohort.cases] == [CASE, OTHER]


def test_there_are_enough_kinds_of_damage():
    assert len({damage.name for damage in damages()}) >= 40


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("scanner", ["aster", "birch", "cedar", "dahlia"])
def test_healthy_patients_of_every_scanner_raise_no_alarm(archive, check, scanner):
    checked = check(archive[scanner])
    assert checked.cohort.cases
    assert checked.cohort.problems == ()
    assert [one for one in checked.findings if one.severity is not Severity.INFO] == []


@pytest.mark.long
def test_tumors_that_do_not_enhance_raise_no_alarm(tmp_path, check):
    hospitals = tuple(
        HospitalSpec(
            name=one.name, layout=CaseLayout.BRATS_2021, cases=2, scanner=one.scanner, missing_et=1.0
        )
        for one in DEMO_COHORT.hospitals
    )
    spec = CohortSpec(hospitals=hospitals, grid=VoxelGrid(shape=(72, 84, 64), spacing_mm=3.0), seed=6)
    for folder in make_cohort(spec, tmp_path / "low grade").hospitals.values():
        found = check(folder).findings
        assert {one.code.value for one in found if one.severity is not Severity.INFO} == {
            "doubtful_convention"
        }


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("tissue", [1, 2])
def test_enhancing_tumor_under_another_number_is_seen_in_the_images(two_patients, check, tissue):
    _relabel(two_patients, lambda label, images: np.where(label == 4, tissue, label))
    assert "label_values_swapped" in codes_of(check(two_patients), CASE)


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    ("share", "severity"), [(0.2, None), (0.4, Severity.WARNING), (0.95, Severity.ERROR)], ids=str
)
def test_only_a_label_of_nearly_the_whole_brain_leaves_a_case_out(two_patients, check, share, severity):
    def fill(label, images):
        brain = np.flatnonzero(images)
        label = np.zeros(label.shape, np.uint8)
        label.ravel()[brain[: int(share * brain.size)]] = 2
        label.ravel()[brain[:100]] = [1, 4] * 50
        return label

    _relabel(two_patients, fill)
    found = [one for one in check(two_patients).findings if one.code.value == "label_covers_brain"]
    assert [one.severity for one in found] == ([severity] if severity else [])


def test_a_label_that_fills_a_small_cut_out_of_a_brain_leaves_no_case_out(two_patients, check):
    for kind in (*IMAGES, "seg"):
        path = two_patients / CASE / f"{CASE}_{kind}.nii.gz"
        image = nib.load(path)
        label = np.asanyarray(nib.load(two_patients / CASE / f"{CASE}_seg.nii.gz").dataobj)
        box = tuple(slice(low.min(), low.max() + 1) for low in np.nonzero(label))
        array = np.asanyarray(image.dataobj).copy()
        array = np.pad(array[box], 2) if kind != "seg" else array
        if kind == "seg":
            array = np.pad(np.where(array[box] == 0, 2, array[box]), 2)
        nib.Nifti1Image(array, image.affine).to_filename(path)
    found = [one for one in check(two_patients).findings if one.code.value == "label_covers_brain"]
    assert [one.severity for one in found] == [Severity.WARNING]


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    ("share", "code", "severity"),
    [
        (0.2, None, None),
        (0.6, "little_contrast", Severity.WARNING),
        (0.97, "little_contrast", Severity.WARNING),
    ],
)
def test_an_image_with_little_contrast_is_looked_at_and_used(two_patients, check, share, code, severity):
    path = two_patients / CASE / f"{CASE}_t2.nii.gz"
    image = nib.load(path)
    array = np.asanyarray(image.dataobj).copy()
    brain = np.flatnonzero(array)
    array.ravel()[np.random.default_rng(0).permutation(brain)[: int(share * brain.size)]] = 300
    nib.Nifti1Image(array, image.affine).to_filename(path)
    found = {(one.code.value, one.severity) for one in check(two_patients).findings if one.image == "t2"}
    assert ((code, severity) in found) == bool(code)
    assert "constant_image" not in {name for name, _ in found}


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("missing", ["t2", "flair"])
def test_the_label_of_an_incomplete_case_is_held_against_what_is_there(two_patients, check, missing):
    """Thresholds of a sum of two images would call a third of labels wrong where one is missing."""
    for case in (CASE, OTHER):
        (two_patients / case / f"{case}_{missing}.nii.gz").unlink()
    checked = check(two_patients)
    assert {one.code.value for one in checked.findings} == {"missing_image"}


def _relabel(hospital, how):
    path = hospital / CASE / f"{CASE}_seg.nii.gz"
    image = nib.load(path)
    brain = np.asanyarray(nib.load(hospital / CASE / f"{CASE}_t1.nii.gz").dataobj)
    label = how(np.asanyarray(image.dataobj), brain).astype(np.uint8)
    nib.Nifti1Image(label, image.affine).to_filename(path)
