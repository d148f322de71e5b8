import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from consilium.data.codes import DataCode
from consilium.data.finding import Finding
from consilium.prediction.output_folder import FinishedCase, OutputFolder, file_stem


def finished(case_id, **values):
    return FinishedCase(id=case_id, key="k", model="m" * 64, values=values, files=("a.txt",))


@pytest.fixture
def folder(tmp_path):
    return OutputFolder(tmp_path)


@given(st.text(max_size=300))
def test_an_id_never_becomes_a_path(case_id):
    stem = file_stem(case_id)
    assert stem
    assert "/" not in stem
    assert not stem.startswith((".", "-"))
    assert len(stem) < 200
    stem.encode("ascii")


@given(st.text(max_size=20), st.text(max_size=20))
def test_two_ids_have_two_names(one, other):
    assert one == other or file_stem(one) != file_stem(other)


def test_a_case_is_finished_while_its_files_are_there(folder):
    assert folder.finished("P1") is None
    folder.keep(finished("P1"))
    assert folder.finished("P1") is None
    assert folder.write_case("P1", {"_seg.nii.gz": b"1"}) == ("P1_seg.nii.gz",)
    (folder.path / "a.txt").write_bytes(b"")
    assert folder.finished("P1") == finished("P1")
    folder.withdraw("P1")
    assert folder.finished("P1") is None
    assert not (folder.path / "a.txt").exists()


@pytest.mark.parametrize("name", ["../label.nii.gz", "/etc/passwd", "a/b", ".consilium", "", "a\n"])
def test_a_record_names_no_path(folder, name):
    with pytest.raises(ValidationError):
        FinishedCase(id="P1", key="k", model="m", values={}, files=(name,))


def test_a_damaged_record_is_none(folder):
    folder.keep(finished("P1"))
    (folder.path / "a.txt").write_bytes(b"")
    (record,) = (folder.path / ".consilium/finished/predictions").iterdir()
    record.write_bytes(record.read_bytes().replace(b'"k"', b'"x"'))
    assert folder.finished("P1") is None
    assert folder.all_finished() == []


def test_no_cell_is_a_formula(folder):
    (folder.path / "a.txt").write_bytes(b"")
    folder.keep(finished('=HYPERLINK("x")', volume_ml=-1.5))
    finding = Finding(code=DataCode.UNREADABLE, case_id="+1", detail="@SUM(A1) is wrong")
    with folder.write_table(("volume_ml",)).open(newline="") as file:
        assert list(csv.reader(file))[1] == ['\'=HYPERLINK("x")', "-1.5", "m" * 12]
    with folder.write_findings([finding]).open(newline="") as file:
        row = list(csv.reader(file))[1]
    assert (row[0], row[4]) == ("'+1", "'@SUM(A1) is wrong")
