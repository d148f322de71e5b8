"""What a hospital declares of its patients, and what a file that can't be used is called."""

import os
import unicodedata

import pytest

from consilium.data.case import FolderError
from consilium.data.checks import check_cohort
from consilium.data.codes import DataCode
from consilium.data.cohort import read_cohort
from consilium.data.patients import Patients, find_patients, format_patients_file
from consilium.data.patients_file import read_patients_file
from consilium.data.visits import PatientNames
from consilium.tasks.brain_tumor.cases import CASES

from .hospital import Hospital


@pytest.fixture
def hospital(tmp_path):
    hospital = Hospital(tmp_path / "data")
    for case in ("P1_0", "P1_1", "P2_0"):
        hospital.brats(case)
    return hospital


@pytest.fixture
def declare(tmp_path):
    def declare(content):
        path = tmp_path / "patients.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return declare


def read(hospital, file=None):
    return read_cohort(hospital.folder, case_format=CASES, patients_file=file)


def patients(cohort):
    return {case.id: case.patient for case in cohort.cases}


def found(cohort, folder):
    checked = check_cohort(cohort, case_format=CASES, folder=folder)
    return {(one.code.value, one.case_id) for one in checked.findings if one.code.value.count("patient")}


TOGETHER = {"P1_0": "P1", "P1_1": "P1", "P2_0": "P2"}


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize(
    "content",
    [
        "case,patient\nP1_0,P1\nP1_1,P1\nP2_0,P2\n",
        "P1_0,P1\nP1_1,P1\nP2_0,P2",
        "\n\ncase;patient\r\nP1_0;P1\r\n\r\nP1_1;P1\r\nP2_0;P2\r\n",
        "Patient_ID\tage\tCase_ID\nP1\t61\tP1_0\nP1\t61\tP1_1\nP2\t\tP2_0\n",
        '\ufeffcase , patient\n"P1_0", P1 \nP1_1,P1\nP2_0,P2\n',
        "participant_id\tsex\nP1\tF\nP2\tM\nP3\tM\n",
        "sep=;\r\ncase;patient\r\nP1_0;P1\r\nP1_1;P1\r\nP2_0;P2\r\n",
        "\ufeffsep=,\ncase,patient\nP1_0,P1\nP1_1,P1\nP2_0,P2\n",
        "case\tpatient\r\nP1_0\tP1\r\nP1_1\tP1\r\nP2_0\tP2\r\n".encode("utf-16"),
        "case,patient,note\nP1_0,P1,see chart\nP1_1,P1,\nP2_0,P2\n",
        "patient,case,,\nP1,P1_0,,\nP1,P1_1,,\nP2,P2_0,,\n",
    ],
)
def test_the_hospital_declares_its_patients(hospital, declare, tmp_path, content):
    cohort = read(hospital, declare(content))
    assert patients(cohort) == TOGETHER
    assert found(cohort, tmp_path / "kept") == set()


def test_participants_of_bids_are_found_where_bids_puts_them(hospital):
    (hospital.folder / "participants.tsv").write_text("participant_id\tage\nP1\t61\nP2\t70\n")
    assert patients(read(hospital)) == TOGETHER


def test_what_the_settings_name_counts_before_what_is_found(hospital, declare):
    (hospital.folder / "participants.tsv").write_text("participant_id\nP1\nP2\n")
    assert len(set(patients(read(hospital, declare("P1_0,A\nP1_1,B\nP2_0,C\n"))).values())) == 3


def test_the_longest_participant_counts(tmp_path):
    path = tmp_path / "participants.tsv"
    path.write_text("participant_id\nsub-1\nsub-1_b\nsub-10\n")
    file = read_patients_file(path)
    names = ("sub-1", "sub-1_ses-1", "sub-1_b_ses-1", "sub-10_ses-2", "sub-100", "sub")
    assert [file.patient_of(name) for name in names] == ["sub-1", "sub-1", "sub-1_b", "sub-10", None, None]


def test_what_may_be_one_patient_is_a_warning_until_it_is_declared(hospital, declare, tmp_path):
    kept = tmp_path / "kept"
    asked = {("possible_same_patient", "P1_0"), ("possible_same_patient", "P1_1")}
    checked = check_cohort(read(hospital), case_format=CASES, folder=kept)
    (first, _) = (one for one in checked.findings if one.code is DataCode.POSSIBLE_SAME_PATIENT)
    assert "P1_0,P1 / P1_1,P1" in first.detail
    assert "--write-patients" in first.code.remedy
    assert len(checked.cohort.cases) == 3
    assert found(read(hospital), kept) == asked
    assert found(read(hospital, declare("P1_0,A\nP1_1,B\nP2_0,C\n")), kept) == set()


def test_a_file_that_is_written_declares_what_was_asked_about(hospital, declare, tmp_path):
    text = format_patients_file(read(hospital).patients)
    assert text == "case,patient\nP1_0,P1\nP1_1,P1\nP2_0,P2_0\n"
    assert found(read(hospital, declare(text)), tmp_path / "kept") == set()


def test_a_case_that_the_file_lacks_is_of_the_patient_that_its_id_names(tmp_path, declare):
    ids = ["P1_ses-1", "P1_ses-2", "P3_ses-1"]
    both = find_patients(ids, folder=tmp_path, names=PatientNames(), file=declare("P1_ses-1,Anna\n"))
    assert [both.of(case) for case in ids] == ["Anna", "Anna", "P3"]
    torn = find_patients(
        [*ids, "P1_ses-3"],
        folder=tmp_path,
        names=PatientNames(),
        file=declare("P1_ses-1,Anna\nP1_ses-3,Eva\n"),
    )
    assert torn.unclear() == {"Anna": ["P1_ses-1", "P1_ses-2", "P1_ses-3"]}


def test_the_patient_of_a_case_that_is_left_out_is_known(hospital, declare):
    hospital.brats("P2_1", without=["t2"])
    cohort = read(hospital, declare("P1_0,P1\nP1_1,P1\nP2_0,P2\nP2_1,P2\n"))
    assert [problem.case_id for problem in cohort.problems] == ["P2_1"]
    assert cohort.patients.of("P2_1") == "P2"


def test_a_file_and_a_folder_that_differ_are_a_warning(hospital, declare, tmp_path):
    cohort = read(hospital, declare("case,patient\nP1_0,P1\nP1_1,P1\nP2_O,P2\n"))
    asked = {("patients_file_incomplete", None), ("patients_file_incomplete", "P2_0")}
    assert found(cohort, tmp_path / "kept") == asked
    checked = check_cohort(cohort, case_format=CASES, folder=tmp_path / "kept")
    (difference,) = (one for one in checked.findings if one.case_id is None)
    assert "in line 4." in difference.detail
    assert "P2_O" not in difference.detail


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("Fall;PatID\nP1_0;P1\nP1_1;P1\nP2_0;P2\n", "line 1; line 1 may be a header"),
        (
            "case,patient\nP1_0,P1\nP1_1,P1\np2_0,P2\n",
            "line 4; ids that differ from a case's in capital letters alone: 1.",
        ),
        ("case,patient\nP1_0,P1\nP1_1,P1\nP2_0_seg.nii,P2\n", "line 4; names of files or folders"),
    ],
)
def test_lines_of_no_case_are_explained(hospital, declare, tmp_path, content, says):
    checked = check_cohort(read(hospital, declare(content)), case_format=CASES, folder=tmp_path / "kept")
    (difference,) = (one for one in checked.findings if one.case_id is None)
    assert says in difference.detail


def test_zeros_that_a_spreadsheet_removed_are_named(tmp_path, declare):
    folder = Hospital(tmp_path / "data")
    for case in ("0012", "0013"):
        folder.brats(case)
    with pytest.raises(FolderError, match=r"in leading zeros, which Excel removes.*: 2"):
        read(folder, declare("case;patient\n12;A\n13;A\n"))


@pytest.mark.quick_cases(7)
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"case,patient\nM\xfcller,P1\n", "not UTF-8"),
        (b"\xff\xfec\0\x00\xd8", "not UTF-8"),
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("case,patient\nP1_0,P1\nP1_0,P2\n", "one case in line 2 and again in line 3"),
        ("case,patient\nP1_0,P1\nP1_1\n", "in line 3"),
        ("case,patient\nP1_0,\n", "in line 2"),
        ("case,patient\n,P1\n", "in line 2"),
        ("P1_0,P1,P2\n", "has 3 column"),
        ("just text\n", "has 1 column"),
        ('case,patient\n"P1_0,P1\n', "is not valid CSV"),
        ("case,patient\nP1_0\0,P1\n", "not plain text"),
        ("case,patient\nQ1,P1\n", "names none of the cases"),
        ("case,patient\n", "names none of the cases"),
        ("case,patient\nP1_0,P1,see chart\n", "more than 2 columns in line 2.*quotation marks"),
        ("case,patient\nP1,P1_0\nP1,P1_1\nP2,P2_0\n", "no patient twice: exchange the columns"),
        ("P1,P1_0\nP1,P1_1\nP2,P2_0\n", "no patient twice: exchange the columns"),
        ("case,patient\nA,P1_0\nB,P2_0\n", "cases stand where patients are wanted: exchange the columns"),
        ("case,patient\np1_0,A\np1_1,A\n", "in capital letters alone: 2"),
        ("case,patient\nP1-0,A\nP1.1,A\n", "in hyphens, dots or spaces alone: 2"),
        ("case,patient\nP1_0_t1.nii.gz,A\n/data/P1_1,A\n", "names of files or folders, .*: 2"),
    ],
)
def test_a_file_that_can_not_be_used_stops_the_site(hospital, declare, content, says):
    with pytest.raises(FolderError, match=says) as caught:
        read(hospital, declare(content))
    assert caught.value.code is DataCode.PATIENTS_FILE
    assert "case,patient" in str(caught.value)


@pytest.mark.parametrize("kind", ["missing", "folder", "forbidden"])
def test_a_file_that_can_not_be_read_stops_the_site(hospital, tmp_path, kind):
    path = tmp_path / "patients.csv"
    if kind == "folder":
        path.mkdir()
    if kind == "forbidden":
        if os.geteuid() == 0:
            pytest.skip("root may read everything")
        path.touch(0)
    with pytest.raises(FolderError, match="can't be read"):
        read(hospital, path)


def test_letters_with_marks_are_found_in_both_spellings(tmp_path, declare):
    decomposed = unicodedata.normalize("NFD", "Müller_1")
    known = find_patients([decomposed], folder=tmp_path, names=PatientNames(), file=declare("Müller_1,M\n"))
    assert known.of(decomposed) == "M"
    assert known.unknown_lines == []


def test_names_that_are_no_text_have_a_patient():
    name = os.fsdecode(b"M\xfcller_1")
    assert Patients(frozenset([name])).of(name) == name


def test_names_that_are_no_text_do_not_stand_in_the_file():
    names = [os.fsdecode(b"M\xfcller7_1"), "M7_0", "M7_1"]
    assert format_patients_file(Patients(frozenset(names))) == "case,patient\nM7_0,M7\nM7_1,M7\n"


@pytest.mark.parametrize("flat", [False, True])
def test_cases_in_a_folder_of_their_own_are_asked_about(tmp_path, flat):
    hospital = Hospital(tmp_path / "data")
    for patient, exams in {"P1": ("spring", "fall"), "P2": ("march",), "P3": ("may", "june")}.items():
        for exam in exams:
            folder = hospital.brats(f"{exam}", parent=patient)
            if flat:
                for path in folder.iterdir():
                    path.rename(folder.parent / path.name)
    cohort = read(hospital)
    assert cohort.patients.unclear() == {"P1": ["fall", "spring"], "P3": ["june", "may"]}
    hospital.brats("alone")
    assert set(read(hospital).patients.unclear()) == {"P1", "P3"}


@pytest.mark.parametrize(
    "parents",
    [
        ("HGG", "LGG"),
        ("2019", "2020"),
        ("batch1", "batch2"),
        ("MICCAI_BraTS2020_TrainingData", "MICCAI_BraTS2020_ValidationData"),
        ("study7", "study7"),
    ],
)
def test_folders_that_sort_patients_are_not_asked_about(tmp_path, parents):
    hospital = Hospital(tmp_path / "data")
    for number in range(4):
        hospital.brats(f"case{number}", parent=parents[number % 2])
    assert read(hospital).patients.unclear() == {}


def test_all_examinations_that_the_site_knows_of_have_a_patient(tmp_path):
    path = tmp_path / "patients.csv"
    path.write_text("case,patient\nP1_1,X\nM\u00fcller,X\n")
    patients = Patients(frozenset(["P1_1", "P1_2", "P2"]), read_patients_file(path))
    there = {"P1_1": "X", "P1_2": "P1_2", "P2": "P2"}
    gone = {"M\u00fcller": "X", "Mu\u0308ller": "X"}  # as Linux and as macOS spell it
    assert patients.examinations == there | gone
