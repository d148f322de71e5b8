"""What a hospital looked at and accepts: a file that stays there, and what it can't say."""

from pathlib import Path

import pytest

from consilium.data.checks import AcceptedFindings, ProblemCode, Severity, check_cohort
from consilium.data.checks.finding import CaseCheck, Finding
from consilium.data.cohort import read_cohort
from consilium.errors import ConfigurationError

from .damage import IMAGES, damages
from .test_corpus import CASE, OTHER, codes_of

HEADER = "case,code,by,note\n"


def written(folder: Path, *lines: str) -> Path:
    path = folder / "accepted_findings.csv"
    path.write_text(HEADER + "".join(f"{line}\n" for line in lines))
    return path


def damage(name: str, hospital: Path) -> None:
    next(one for one in damages() if one.name == name).apply(hospital, CASE, OTHER)


@pytest.fixture
def check(kept, tmp_path):
    def check(hospital, *lines):
        accepted = AcceptedFindings.read(written(tmp_path, *lines))
        cohort = read_cohort(hospital, modalities=IMAGES)
        return check_cohort(cohort, modalities=IMAGES, folder=kept, accepted=accepted)

    return check


def test_an_accepted_error_leaves_no_case_out(two_patients, check):
    damage("an empty label", two_patients)
    assert [case.id for case in check(two_patients).cohort.cases] == [OTHER]
    checked = check(two_patients, f"{CASE},empty_label,Dr. Rossi,no tumor left after the operation")
    assert [case.id for case in checked.cohort.cases] == [CASE, OTHER]
    assert checked.cohort.problems == ()
    assert [(one.case_id, one.code.value) for one in checked.accepted] == [(CASE, "empty_label")]


def test_overwhelming_evidence_can_be_accepted_too(two_patients, check):
    damage("skull and scalp", two_patients)
    assert {one.severity for one in check(two_patients).findings} >= {Severity.ERROR}
    checked = check(two_patients, f"{CASE},not_skull_stripped,Dr. Rossi,as our protocol wants it")
    assert [case.id for case in checked.cohort.cases] == [CASE, OTHER]


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
    doubt = finding(ProblemCode.NOT_SKULL_STRIPPED)
    swapped = finding(ProblemCode.SWAPPED_MODALITIES, overwhelming=True)
    shifted = finding(ProblemCode.LABEL_SHIFTED)
    check = CaseCheck(read=(), seen=((doubt,), (swapped, shifted)))
    assert [(one.code, one.severity) for one in check.findings()] == [
        (ProblemCode.NOT_SKULL_STRIPPED, Severity.WARNING),
        (ProblemCode.SWAPPED_MODALITIES, Severity.WARNING),
    ]
    surely = CaseCheck(read=(), seen=((swapped,), (shifted,)))
    assert [(one.code, one.severity) for one in surely.findings()] == [
        (ProblemCode.SWAPPED_MODALITIES, Severity.ERROR)
    ]


def test_only_the_stated_case_and_code_are_accepted(two_patients, check):
    damage("an empty label", two_patients)
    for line in (f"{OTHER},empty_label,Dr. Rossi,", f"{CASE},label_mirrored,Dr. Rossi,"):
        checked = check(two_patients, line)
        assert [case.id for case in checked.cohort.cases] == [OTHER]
        (unused,) = (one for one in checked.findings if one.code is ProblemCode.UNUSED_ACCEPTANCE)
        assert (unused.case_id, unused.severity) == (None, Severity.WARNING)
        assert "line 2" in unused.detail.replace("lines", "line")
        assert CASE not in unused.detail
        assert OTHER not in unused.detail


@pytest.mark.parametrize("code", [code for code in ProblemCode if not code.acceptable], ids=str)
def test_what_makes_reading_impossible_or_mixes_patients_can_not_be_accepted(code, tmp_path):
    with pytest.raises(ConfigurationError, match="can't be accepted") as raised:
        AcceptedFindings.read(written(tmp_path, f"mueller-1950,{code.value},Dr. Rossi,"))
    assert "mueller" not in str(raised.value)


def test_exchanged_columns_give_no_id_away(tmp_path):
    with pytest.raises(ConfigurationError, match="what stands under code is none") as raised:
        AcceptedFindings.read(written(tmp_path, "empty_label,mueller-1950,Dr. Rossi,"))
    assert "mueller" not in str(raised.value)


def test_errors_can_be_accepted_only_where_that_is_decided():
    acceptable = {code.value for code in ProblemCode if code.severity is Severity.ERROR and code.acceptable}
    assert acceptable == {"nonzero_background", "duplicate_modality", "empty_label"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"case,code\nA,empty_label\n",
        b"A,empty_label,me,\n",
        HEADER.encode() + b"A,empty_labels,me,\n",
        HEADER.encode() + b"A,empty_label,,\n",
        HEADER.encode() + b",empty_label,me,\n",
        HEADER.encode() + b'A,empty_label,me,"see mail\nB,empty_label,me,\n',
        HEADER.encode() + b"A,empty_label,me,see mail, and chart\n",
        HEADER.encode() + b"M\xfcller,empty_label,me,\n",
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
        HEADER + "A,empty_label,me,\n",
        "\ufeff" + HEADER + ' A , Empty_Label ,me,"two\nlines, with a comma"\n\n',
        "case;code;by;note\r\nA;empty_label;me;\r\n",
        HEADER + "A,empty_label,me",
    ],
)
def test_what_spreadsheets_write_is_read(content, tmp_path):
    path = tmp_path / "accepted_findings.csv"
    path.write_text(content, encoding="utf-8", newline="")
    assert AcceptedFindings.read(path).lines.keys() == {("A", ProblemCode.EMPTY_LABEL)}


def test_a_named_file_must_be_there_and_the_usual_one_need_not(tmp_path):
    assert not AcceptedFindings.find(None, tmp_path).lines
    with pytest.raises(ConfigurationError, match="can't be read"):
        AcceptedFindings.find(tmp_path / "missing.csv", tmp_path)
    written(tmp_path, "A,empty_label,me,")
    assert AcceptedFindings.find(None, tmp_path).lines


def test_an_id_is_one_however_its_marks_are_spelled(tmp_path):
    accepted = AcceptedFindings.read(written(tmp_path, "M\u00fcller,empty_label,me,"))
    found = Finding(code=ProblemCode.EMPTY_LABEL, case_id="Mu\u0308ller", detail="")
    assert accepted.mark(found).accepted
    assert accepted.unused([found]) == []
