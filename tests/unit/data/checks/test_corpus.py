"""Every way to damage a case is found, and the healthy case beside it stays healthy."""

import nibabel as nib
import numpy as np
import pytest

from consilium.data.case import FolderError
from consilium.data.checks import Severity

from .damage import combined, damages

CASE, OTHER = "BraTS2021_00000", "BraTS2021_00001"


def codes_of(checked, case_id):
    return {one.code.value for one in checked.findings if (one.case_id or "").startswith(case_id)}


@pytest.mark.parametrize("damage", damages(), ids=lambda damage: damage.name.replace(" ", "-"))
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


@pytest.mark.parametrize(
    "pair", combined(), ids=lambda pair: "+".join(one.name.replace(" ", "-") for one in pair)
)
def test_two_damages_of_one_case_are_both_found(pair, two_patients, check):
    for damage in reversed(pair):
        damage.apply(two_patients, CASE, OTHER)
    found = codes_of(check(two_patients), CASE)
    assert all(found & damage.codes for damage in pair)


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


@pytest.mark.parametrize("scanner", ["aster", "birch", "cedar", "dahlia"])
def test_healthy_patients_of_every_scanner_raise_no_alarm(archive, check, scanner):
    checked = check(archive[scanner])
    assert checked.cohort.cases
    assert checked.cohort.problems == ()
    assert [one for one in checked.findings if one.severity is not Severity.INFO] == []
