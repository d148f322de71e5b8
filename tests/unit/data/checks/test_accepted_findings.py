"""What a hospital looked at and accepts: a file that stays there, and what it can't say."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from tasks.brain_tumor.checks.damage import damages
from tasks.brain_tumor.checks.test_corpus import CASE, OTHER, codes_of

from consilium.data.case_check import CaseCheck, fingerprint_files
from consilium.data.checks import AcceptedFindings, Severity, check_cohort
from consilium.data.checks.accepted_findings import format_acceptances
from consilium.data.codes import DataCode
from consilium.data.cohort import read_cohort
from consilium.data.finding import Finding
from consilium.data.problem_code import known_codes
from consilium.errors import ConfigurationError
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.brain_tumor.codes import BrainCode
from consilium.tasks.segmentation.codes import VolumeCode

HEADER = "case,code,files,by,note\n"


def written(folder: Path, *lines: str) -> Path:
    path = folder / "accepted_findings.csv"
    path.write_text(HEADER + "".join(f"{line}\n" for line in lines))
    return path


def damage(name: str, hospital: Path) -> None:
    next(one for one in damages() if one.name == name).apply(hospital, CASE, OTHER)


@pytest.fixture
def check(kept, tmp_path):
    def check(hospital, *lines):
        """Check with lines `case,code,by,note`, of the files as they are."""
        cohort = read_cohort(hospital, case_format=CASES)
        marks = marks_of(check_cohort(cohort, case_format=CASES, folder=kept))
        cells = [line.split(",", 2) for line in lines]
        file = written(tmp_path, *(f"{case},{code},{marks[case]},{rest}" for case, code, rest in cells))
        accepted = AcceptedFindings.read(file)
        return check_cohort(cohort, case_format=CASES, folder=kept, accepted=accepted)

    return check


def marks_of(checked):
    return {one.case_id: one.files for one in checked.findings if one.case_id}


def test_an_accepted_error_leaves_no_case_out(two_patients, check):
    damage("an empty label", two_patients)
    assert [case.id for case in check(two_patients).cohort.cases] == [OTHER]
    checked = check(two_patients, f"{CASE},empty_label,Dr. Rossi,no tumor left after the operation")
    assert [case.id for case in checked.cohort.cases] == [CASE, OTHER]
    assert checked.cohort.problems == ()
    assert [(one.case_id, one.code.value) for one in checked.accepted] == [(CASE, "empty_label")]


@pytest.mark.long
def test_overwhelming_evidence_can_be_accepted_too(two_patients, check):
    damage("skull and scalp", two_patients)
    assert {one.severity for one in check(two_patients).findings} >= {Severity.ERROR}
    checked = check(two_patients, f"{CASE},not_skull_stripped,Dr. Rossi,as our protocol wants it")
    assert [case.id for case in checked.cohort.cases] == [CASE, OTHER]


@pytest.mark.long
def test_what_was_not_said_because_of_an_accepted_finding_is_said_then(two_patients, check):
    damage("a label mirrored", two_patients)
    damage("an image moved", two_patients)
    found = codes_of(check(two_patients), CASE)
    assert "not_registered" in found
    assert not found & {"label_mirrored", "label_mismatch", "label_shifted"}
    found = codes_of(check(two_patients, f"{CASE},not_registered,Dr. Rossi,"), CASE)
    assert found & {"label_mirrored", "label_mismatch", "label_shifted"}


def finding(code, *, overwhelming=False, confidence=0.9):
    return Finding(code=code, case_id=CASE, detail="", confidence=confidence, overwhelming=overwhelming)


def test_after_a_doubt_only_what_is_overwhelming_is_said_and_as_a_warning():
    doubt = finding(BrainCode.NOT_SKULL_STRIPPED)
    swapped = finding(BrainCode.SWAPPED_MODALITIES, overwhelming=True)
    shifted = finding(BrainCode.LABEL_SHIFTED)
    check = CaseCheck(read=(), seen=((doubt,), (swapped, shifted)))
    assert [(one.code, one.severity) for one in check.findings()] == [
        (BrainCode.NOT_SKULL_STRIPPED, Severity.WARNING),
        (BrainCode.SWAPPED_MODALITIES, Severity.WARNING),
    ]
    surely = CaseCheck(read=(), seen=((swapped,), (shifted,)))
    assert [(one.code, one.severity) for one in surely.findings()] == [
        (BrainCode.SWAPPED_MODALITIES, Severity.ERROR)
    ]


def test_only_the_stated_case_and_code_are_accepted(two_patients, check):
    damage("an empty label", two_patients)
    damage_other = two_patients / OTHER / f"{OTHER}_t1.nii.gz"
    damage_other.rename(damage_other.with_suffix(""))  # compressed, and not named so
    for line in (f"{OTHER},empty_label,Dr. Rossi,", f"{CASE},label_mirrored,Dr. Rossi,"):
        checked = check(two_patients, line)
        assert [case.id for case in checked.cohort.cases] == [OTHER]
        (unused,) = (one for one in checked.findings if one.code is DataCode.UNUSED_ACCEPTANCE)
        assert (unused.case_id, unused.severity) == (None, Severity.WARNING)
        assert unused.detail.startswith("Line 2 of")
        assert CASE not in unused.detail
        assert OTHER not in unused.detail


@pytest.mark.parametrize("code", [code for code in known_codes() if not code.acceptable], ids=str)
def test_what_makes_reading_impossible_or_mixes_patients_can_not_be_accepted(code, tmp_path):
    with pytest.raises(ConfigurationError, match="can't be accepted") as raised:
        AcceptedFindings.read(written(tmp_path, f"mueller-1950,{code.value},x1,Dr. Rossi,"))
    assert "mueller" not in str(raised.value)


def test_exchanged_columns_give_no_id_away(tmp_path):
    with pytest.raises(ConfigurationError, match="the value under code is not a known one") as raised:
        AcceptedFindings.read(written(tmp_path, "empty_label,mueller-1950,x1,Dr. Rossi,"))
    assert "mueller" not in str(raised.value)


def test_errors_can_be_accepted_only_where_that_is_decided():
    acceptable = {code.value for code in known_codes() if code.severity is Severity.ERROR and code.acceptable}
    assert acceptable == {"nonzero_background", "duplicate_modality", "empty_label"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"case,code\nA,empty_label\n",
        b"A,empty_label,x1,me,\n",
        b"case,code,by,note\nA,empty_label,me,\n",
        HEADER.encode() + b"A,empty_labels,x1,me,\n",
        HEADER.encode() + b"A,empty_label,x1,,\n",
        HEADER.encode() + b",empty_label,x1,me,\n",
        HEADER.encode() + b'A,empty_label,x1,me,"see mail\nB,empty_label,x1,me,\n',
        HEADER.encode() + b"A,empty_label,x1,me,see mail, and chart\n",
        HEADER.encode() + b"M\xfcller,empty_label,x1,me,\n",
    ],
)
def test_a_file_that_can_not_be_meant_is_an_error_that_says_what_is_wanted(content, tmp_path):
    path = tmp_path / "accepted_findings.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="accepted_findings"):
        AcceptedFindings.read(path)


@pytest.mark.parametrize(
    "content",
    [
        HEADER + "A,empty_label,x1,me,\n",
        "\ufeff" + HEADER + ' A , Empty_Label ,X1,me,"two\nlines, with a comma"\n\n',
        "case;code;files;by;note\r\nA;empty_label;x1;me;\r\n",
        HEADER + "A,empty_label,x1,me",
        '"case";"code";"files";"by";"note"\r\n"A";"empty_label";"x1";"me";"see chart, page 2"\r\n',
        "Case\tCode\tFiles\tBy\tNote\nA\tempty_label\tx1\tme\t",
    ],
)
def test_what_spreadsheets_write_is_read(content, tmp_path):
    path = tmp_path / "accepted_findings.csv"
    path.write_text(content, encoding="utf-8", newline="")
    assert AcceptedFindings.read(path).lines.keys() == {("A", VolumeCode.EMPTY_LABEL, "x1")}


def test_a_named_file_must_be_there_and_the_usual_one_need_not(tmp_path):
    assert not AcceptedFindings.find(None, tmp_path).lines
    with pytest.raises(ConfigurationError, match="can't be read"):
        AcceptedFindings.find(tmp_path / "missing.csv", tmp_path)
    written(tmp_path, "A,empty_label,x1,me,")
    assert AcceptedFindings.find(None, tmp_path).lines


def test_an_id_is_one_however_its_marks_are_spelled(tmp_path):
    accepted = AcceptedFindings.read(written(tmp_path, "M\u00fcller,empty_label,x1,me,"))
    found = Finding(code=VolumeCode.EMPTY_LABEL, case_id="Mu\u0308ller", detail="", files="x1")
    assert accepted.apply(found).accepted
    assert accepted.unused([found]) == []


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("role", ["t1", "flair", "seg"])
def test_other_files_of_a_case_need_another_look(two_patients, check, kept, tmp_path, role):
    damage("skull and scalp", two_patients)
    checked = check(two_patients, f"{CASE},not_skull_stripped,Dr. Rossi,as our protocol wants it")
    assert [case.id for case in checked.cohort.cases] == [CASE, OTHER]
    accepted = AcceptedFindings.read(tmp_path / "accepted_findings.csv")
    replaced = two_patients / CASE / f"{CASE}_{role}.nii.gz"
    image = nib.load(replaced)
    array = np.asarray(image.dataobj).copy()
    marked = np.argwhere(array)
    array[tuple(marked[len(marked) // 2])] = array.max() if role != "seg" else 0
    nib.Nifti1Image(array, image.affine).to_filename(replaced)
    cohort = read_cohort(two_patients, case_format=CASES)
    checked = check_cohort(cohort, case_format=CASES, folder=kept, accepted=accepted)
    assert [case.id for case in checked.cohort.cases] == [OTHER]
    (outdated,) = (one for one in checked.findings if one.code is DataCode.OUTDATED_ACCEPTANCE)
    assert (outdated.case_id, outdated.severity) == (None, Severity.WARNING)
    assert outdated.detail.startswith("Line 2 of")
    assert "files of the case are not those" in outdated.detail
    assert "unused_acceptance" not in {one.code.value for one in checked.findings}


@pytest.mark.long
def test_files_that_are_only_copied_need_no_other_look(two_patients, check, kept, tmp_path):
    damage("an empty label", two_patients)
    check(two_patients, f"{CASE},empty_label,Dr. Rossi,")
    accepted = AcceptedFindings.read(tmp_path / "accepted_findings.csv")
    moved = Path(shutil.copytree(two_patients, tmp_path / "moved"))
    cohort = read_cohort(moved, case_format=CASES)
    checked = check_cohort(cohort, case_format=CASES, folder=tmp_path / "state", accepted=accepted)
    assert [case.id for case in checked.cohort.cases] == [CASE, OTHER]


@pytest.mark.long
def test_a_file_to_complete_holds_what_can_be_accepted_and_nothing_else(two_patients, check, kept, tmp_path):
    damage("skull and scalp", two_patients)
    lines = format_acceptances(check(two_patients).findings).splitlines()
    assert lines[0] == HEADER.strip()
    assert {tuple(line.split(",")[:2]) for line in lines[1:]} >= {(CASE, "not_skull_stripped")}
    path = tmp_path / "accepted_findings.csv"
    path.write_text("\n".join(lines))
    with pytest.raises(ConfigurationError, match=r"line 2: .*case and by must not be empty.*remove the line"):
        AcceptedFindings.read(path)
    path.write_text("\n".join([lines[0], *(line[:-1] + "Dr. Rossi," for line in lines[1:])]))
    cohort = read_cohort(two_patients, case_format=CASES)
    accepted = AcceptedFindings.read(path)
    checked = check_cohort(cohort, case_format=CASES, folder=kept, accepted=accepted)
    assert [case.id for case in checked.cohort.cases] == [CASE, OTHER]
    assert len(checked.accepted) >= len(lines) - 1


def test_a_mark_is_no_number_to_a_spreadsheet():
    assert fingerprint_files("123456789012" + "0" * 28) == "x123456789012"
    assert fingerprint_files(None) == ""
