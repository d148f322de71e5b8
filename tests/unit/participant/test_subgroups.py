"""A hospital's file of subgroups: what it may hold, and what of it may leave."""

from types import SimpleNamespace

import pytest

from consilium.errors import DataError
from consilium.participant.subgroups import read_subgroups

CASES = [SimpleNamespace(id=f"{patient}-{visit}", patient=patient) for patient in "ABC" for visit in (1, 2)]
KNOWN = {case.id: case.patient for case in CASES}


def read(tmp_path, text):
    path = tmp_path / "subgroups.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_subgroups(path, CASES, KNOWN)


def test_patients_are_divided_with_all_their_cases(tmp_path):
    found = read(tmp_path, "patient,age band,scanner\nA,<60,X\nB,60+,X\nC,60+,\n")
    assert found == {
        "age band": {"<60": {"A-1", "A-2"}, "60+": {"B-1", "B-2", "C-1", "C-2"}},
        "scanner": {"X": {"A-1", "A-2", "B-1", "B-2"}},
    }


def test_cases_can_be_divided_too(tmp_path):
    assert read(tmp_path, "Case;grade\nA-1;2\nB-2;2\nC-1;4\n") == {
        "grade": {"2": {"A-1", "B-2"}, "4": {"C-1"}}
    }


def test_unknown_ids_are_left_alone(tmp_path):
    assert read(tmp_path, "patient,grade\nA,2\nDoe-Jane,4\n") == {"grade": {"2": {"A-1", "A-2"}}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patient,grade\nA,2\nA,3\n", "names one patient in line 2 and again in line 3"),
        ("patient,grade\nA,=1+1\n", "may not leave the site"),
        ("patient,grade\nA,@SUM(A1)\n", "may not leave the site"),
        ("patient,grade\nA,-2\n", "may not leave the site"),
        ("patient,=grade\nA,2\n", "may not leave the site"),
        (f"patient,grade\nA,{'x' * 31}\n", "may not leave the site"),
        ("patient,grade\nA,\x1b[2J\n", "may not leave the site"),
        ("patient,grade\nA,M\u00fcller\n", "may not leave the site"),
        ("patient,grade\nA,b\n", "id of a patient or case"),
        ("patient,grade\nA,C-2\n", "id of a patient or case"),
        ("patient,A-1\nA,2\n", "id of a patient or case"),
        ("patient,grade\nA\n", "has 1 cell in line 2"),
        ("patient,grade\nA,2,3\n", "has 3 cells in line 2"),
        ("patient,grade\n,2\n", "line 2"),
        ("name,grade\nA,2\n", "doesn't begin with the line"),
        ("patient\nA\n", "doesn't begin with the line"),
        ("patient,grade,grade\nA,2,2\n", "doesn't begin with the line"),
        ("patient," + ",".join(f"a{n}" for n in range(7)) + "\n", "doesn't begin with the line"),
        ("patient,grade\n" + "".join(f"P{n},v{n}\n" for n in range(13)), "at most 12"),
        ('patient,grade\n"A,2\n', "not valid CSV"),
        (b"patient,grade\nA,\xff\n", "not UTF-8"),
        (b"patient,grade\nA,\x00\n", "no CSV file"),
        ("", "is empty"),
    ],
)
def test_a_file_that_can_t_be_used_is_refused_without_naming_a_patient(tmp_path, text, message):
    with pytest.raises(DataError, match="file of subgroups") as refused:
        read(tmp_path, text)
    assert message in str(refused.value)
    assert "Doe" not in str(refused.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="can't be read"):
        read_subgroups(tmp_path / "none.csv", CASES, KNOWN)
