"""Files that nobody understood, and labels that belong to nobody."""

import pytest
from data.hospital import MODALITIES, head, label

from consilium.data.codes import DataCode
from consilium.data.cohort import read_cohort
from consilium.tasks.brain_tumor.cases import CASES


def _read(hospital):
    return read_cohort(hospital.folder, case_format=CASES)


def _codes(cohort):
    return [(one.code, one.case_id) for one in cohort.notices]


def test_a_label_of_another_name_is_not_lost_without_a_word(hospital):
    for case_id in ("A", "B", "C"):
        hospital.brats(case_id, None)
        hospital.image(f"{case_id}/{case_id}_seg_final.nii.gz", label((1, 2, 4)))
    cohort = _read(hospital)
    (notice,) = cohort.notices
    assert (notice.code, notice.case_id) == (DataCode.UNKNOWN_FILES, None)
    assert "3 _seg_final.nii.gz" in notice.detail
    assert "3 cases without a label" in notice.detail
    assert [path.name for path in cohort.unknown_files] == [f"{one}_seg_final.nii.gz" for one in "ABC"]


def test_endings_are_counted_and_people_are_not_named(hospital):
    for case_id in ("P1", "P2"):
        folder = hospital.brats(case_id)
        (folder / f"{case_id}_t1_perfusion.nii.gz").touch()
        (folder / f"Mueller_Hans_{case_id}.nii.gz").touch()
        (folder / f"{case_id}_Mueller_{case_id}.nii.gz").touch()
        (folder / "IM0001.dcm").touch()
    (notice,) = _read(hospital).notices
    assert "2 _t1_perfusion.nii.gz" in notice.detail
    assert "4 .nii.gz" in notice.detail
    assert "2 .dcm" in notice.detail
    assert "dcm2niix" in notice.detail
    assert "Mueller" not in notice.detail


@pytest.mark.parametrize("name", ["B_seg", "A2_seg", "A_2_seg", "W40_2001.01.01_Segm", "A_wt_seg"])
def test_a_stray_label_is_given_to_nobody(hospital, name):
    hospital.brats("A", None)
    hospital.image(f"A/{name}.nii.gz", label((1, 2, 4)))
    cohort = _read(hospital)
    assert [case.target for case in cohort.cases] == [None]
    assert _codes(cohort) == [(DataCode.STRAY_LABEL, name.rpartition("_")[0])]
    assert cohort.problems == ()


@pytest.mark.parametrize("name", ["A_manual_seg", "seg", "A_final_reviewed_segmentation", "tumor_mask"])
def test_a_label_whose_name_says_no_other_case_is_taken(hospital, name):
    hospital.brats("A", None)
    hospital.image(f"A/{name}.nii.gz", label((1, 2, 4)))
    (case,) = _read(hospital).cases
    assert case.target.path.name == f"{name}.nii.gz"


def test_a_label_in_a_folder_of_two_cases_needs_a_case_in_its_name(hospital):
    for case_id in ("A", "B"):
        for path in hospital.brats(case_id, None).iterdir():
            path.rename(hospital.folder / path.name)
    hospital.image("seg.nii.gz", label((1, 2, 4)))
    cohort = _read(hospital)
    assert [case.target for case in cohort.cases] == [None, None]
    assert [code for code, _ in _codes(cohort)] == [DataCode.STRAY_LABEL]


def test_labels_in_a_folder_of_their_own_are_paired_by_name(hospital):
    for case_id in ("A", "B"):
        hospital.brats(case_id, None)
    for case_id in ("A", "C"):
        hospital.image(f"labels/{case_id}_seg.nii.gz", label((1, 2, 4)))
    cohort = _read(hospital)
    assert [case.target is not None for case in cohort.cases] == [True, False]
    assert _codes(cohort) == [(DataCode.STRAY_LABEL, "C")]


def test_a_name_that_every_folder_has_pairs_nothing(hospital):
    for index, modality in enumerate(MODALITIES):
        hospital.image(f"P1/scan_{modality}.nii.gz", head(seed=index))
    hospital.image("P2/scan_seg.nii.gz", label((1, 2, 4)))
    cohort = _read(hospital)
    assert [case.target for case in cohort.cases] == [None]


def test_two_different_labels_of_a_case_are_not_chosen_between(hospital):
    hospital.brats("A")
    hospital.image("labels/A_seg.nii.gz", label((1, 2)))
    (problem,) = _read(hospital).problems
    assert (problem.case_id, problem.code) == ("A", DataCode.DUPLICATE_FILE)


def test_a_copy_of_a_label_is_no_second_label(hospital):
    hospital.brats("A")
    hospital.image("labels/A_seg.nii.gz", label((0, 1, 2, 4)))
    (case,) = _read(hospital).cases
    assert case.target.path.parent.name == "A"
