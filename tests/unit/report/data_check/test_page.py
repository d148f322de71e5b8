"""The page of a data check: what a hospital's data manager reads there."""

from dataclasses import replace
from pathlib import Path

import pytest

from consilium.data.case import Case, ImageFile
from consilium.data.checks import CheckedCohort, Finding
from consilium.data.codes import find_code
from consilium.data.cohort import Cohort
from consilium.report.data_check.page import DataCheck, render_data_check
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.label_conventions import LabelConvention
from report.html import read_text

FOLDER = Path("/data/brats")


def case(name: str, *, patient: str | None = None, labeled: bool = True) -> Case:
    volume = ImageFile(FOLDER / f"{name}.nii.gz")
    return Case(id=name, patient=patient or name, images={"t1": volume}, target=volume if labeled else None)


CODES = get_task("brain_tumor").codes  # those of volumes and brains are known once they are imported


def found(code: str, case_id: str | None, detail: str = "", **more: object) -> Finding:
    return Finding(code=find_code(code), case_id=case_id, detail=detail, **more)


def check(*findings: Finding, cases: tuple[Case, ...] = (case("A"), case("B"))) -> DataCheck:
    left_out = {one.case_id: one for one in findings if one.case_id and one.severity == "error"}
    cohort = Cohort("brats-2018", LabelConvention.BRATS_2018, cases, tuple(left_out.values()))
    return DataCheck(FOLDER, "brain_tumor_fedavg", "brain_tumor", findings, CheckedCohort(cohort, findings))


def test_a_folder_without_findings_leads_to_the_check_of_the_site() -> None:
    text = read_text(render_data_check(check(cases=(case("A"), case("B"), case("C")))))
    assert "What is in brats" in text
    assert str(FOLDER) in text
    assert "Ready: every case is used, 3 in all." in text
    assert "consilium check-site KIT" in text
    assert "Nothing was found in any case." in text


FEW = "Too few to train on: {}, and min_training_patients is 3; a job would be declined"
WITHHELD = (
    "To train on: 5 patients. All its scores would be held back: with 0 validation patients and 0 test "
    "patients, each set has fewer than 3, its min_training_patients"
)
NO_CHOICE = "; it chooses no model: it has too few patients, or validation_fraction is 0"


@pytest.mark.parametrize(
    ("patients", "said"),
    [
        (0, ""),
        (1, FEW.format("1 labeled patient")),
        (2, FEW.format("2 labeled patients")),
        (5, WITHHELD),
        (6, f"To train on: 3 patients; to choose models on: 0; to report on: 3{NO_CHOICE}"),
        (12, "To train on: 6 patients; to choose models on: 3; to report on: 3"),
    ],
)
def test_the_sets_of_a_small_hospital_are_known_before_it_joins(patients: int, said: str) -> None:
    cases = tuple(case(f"P{number}", labeled=number < patients) for number in range(13))
    one = check(cases=cases)
    assert one.sets == (said and f"With the default settings of a site. {said}")
    assert one.sets in read_text(render_data_check(one))


def test_cases_are_listed_one_by_one_with_all_that_is_wrong_in_each() -> None:
    page = render_data_check(
        check(
            found("truncated", "Z", "Z_t1.nii.gz ends early.", image="t1"),
            found("label_mirrored", "C", "Moved by 8 mm.", confidence=0.97, overwhelming=True),
            found("shared_label", "C", "Its label is also that of case Z."),
            found("clipped_intensity", "A", "3% have the largest value.", image="t2"),
        )
    )
    text = read_text(page)
    assert "2 of 4 cases are left out of training. Used: 2." in text
    assert "Run the same command again" in text
    listed = text[text.index("Cases that are left out") : text.index("Seen in cases")]
    assert "C label looks mirrored Moved by 8 mm. (97 % sure) label of another case" in listed
    assert "Z file incomplete or damaged: T1 Z_t1.nii.gz ends early." in listed
    assert listed.index("C label") < listed.index("Z file")
    assert "A T2 3% have the largest value." in text[text.index("Seen in cases") :]


def test_what_is_wrong_with_the_folder_comes_first() -> None:
    whole = found("disk_too_small", None, "1 GiB is free.")
    text = read_text(render_data_check(check(whole, found("truncated", "C"))))
    assert "This folder can't be used yet." in text
    assert text.index("1 GiB is free.") < text.index("What to do next") < text.index("What was found")
    assert "Fix what is said of the folder as a whole" in text


def test_a_folder_that_can_t_be_read_has_no_counts() -> None:
    whole = found("unknown_layout", None, "Found 3 .dcm.")
    text = read_text(
        render_data_check(DataCheck(FOLDER, "brain_tumor_fedavg", "brain_tumor", (whole,), None))
    )
    assert "Found 3 .dcm." in text
    assert "cases used" not in text


@pytest.mark.parametrize(
    ("cases", "reported"),
    [((case("P-000", patient="P"), case("P-001", patient="P")), True), ((case("P"), case("Q")), False)],
)
def test_a_single_patient_is_said_not_to_be_enough(cases: tuple[Case, ...], reported: bool) -> None:
    text = read_text(render_data_check(check(cases=cases)))
    assert ("Too few to train on: 1 labeled patient," in text) is reported


@pytest.mark.parametrize(("patients", "said"), [(3, True), (5, True), (6, False)])
def test_how_many_patients_it_takes_until_scores_are_sent_is_said(patients: int, said: bool) -> None:
    text = read_text(render_data_check(check(cases=tuple(case(f"P{number}") for number in range(patients)))))
    assert ("From 6 labeled patients on, its scores are sent." in text) is said


@pytest.mark.parametrize(("patients", "verdict"), [(2, "too_few_to_train"), (3, "ready")])
def test_a_folder_that_no_job_would_train_on_is_not_called_ready(patients: int, verdict: str) -> None:
    one = check(cases=tuple(case(f"P{number}") for number in range(patients)))
    assert one.verdict == one.as_json()["verdict"] == verdict
    text = read_text(render_data_check(one))
    assert ("Good, but too few to train on: 2 cases." in text) is (patients == 2)
    assert ("Ready" in text) is (patients == 3)
    assert ("Add labeled patients." in text) is (patients == 2)


def test_what_comes_from_files_is_never_markup() -> None:
    finding = found("truncated", "<b>C</b>", "<script>alert(1)</script>")
    page = render_data_check(replace(check(finding), folder=Path("/data/<i>")))
    assert "<script>" not in page
    assert "<b>" not in page
    assert "<i>" not in page
