"""Checking a whole hospital: in parallel, resumable, and without a trace in its folder."""

import weakref

import pytest

from consilium.data.checks import check_cohort
from consilium.data.checks import exclusion as recalling
from consilium.data.checks import kept_findings as module
from consilium.data.checks.exclusion import recall_cohort
from consilium.data.cohort import read_cohort
from consilium.data.sources import SourceIndex
from consilium.errors import Cancelled
from consilium.tasks.brain_tumor.cases import CASES


def run(hospital, folder, **options):
    cohort = read_cohort(hospital.folder, case_format=CASES)
    return check_cohort(cohort, case_format=CASES, folder=folder, **options)


@pytest.fixture
def three(hospital):
    for case_id in ("A", "B", "C"):
        hospital.brats(case_id)
    damaged = hospital.folder / "B/B_t2.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:50])
    return hospital


def test_a_case_with_an_error_is_left_out_with_its_reason(three, tmp_path):
    checked = run(three, tmp_path / "kept")
    assert [case.id for case in checked.cohort.cases] == ["A", "C"]
    (problem,) = checked.cohort.problems
    assert (problem.case_id, problem.code.value) == ("B", "truncated")


@pytest.mark.integration
def test_several_processes_find_what_one_finds(three, tmp_path):
    alone, together = run(three, tmp_path / "one"), run(three, tmp_path / "two", workers=2)
    assert alone == together


def test_a_second_run_reads_only_what_is_new(three, tmp_path, monkeypatch):
    first = run(three, tmp_path / "kept")
    three.brats("D")
    read = []

    def check_examined(case, *rest):
        read.append(case.id)
        return original(case, *rest)

    original = module.check_examined
    monkeypatch.setattr(module, "check_examined", check_examined)
    second = run(three, tmp_path / "kept")
    assert read == ["D"]
    assert set(first.findings) <= set(second.findings)


def test_what_is_kept_of_a_file_that_has_changed_is_not_used(three, tmp_path):
    run(three, tmp_path / "kept")
    three.brats("B")
    assert run(three, tmp_path / "kept").cohort.problems == ()


def test_a_damaged_note_is_made_again(three, tmp_path):
    expected = run(three, tmp_path / "kept")
    for note in (tmp_path / "kept/findings").iterdir():
        note.write_text("{")
    assert run(three, tmp_path / "kept") == expected


def test_it_stops_between_cases_and_continues_later(three, tmp_path):
    asked = []

    def cancelled():
        asked.append(None)
        return len(asked) > 4  # before each of three is recalled, then before each is read

    with pytest.raises(Cancelled):
        run(three, tmp_path / "kept", cancelled=cancelled)
    assert len(list((tmp_path / "kept/findings").iterdir())) == 1
    assert len(run(three, tmp_path / "kept").cohort.cases) == 2


def test_the_hospitals_folder_is_left_as_it_was(three, tmp_path):
    def content():
        return {path: path.read_bytes() for path in three.folder.rglob("*") if path.is_file()}

    before = content()
    run(three, tmp_path / "kept")
    assert content() == before


def test_what_was_found_is_recalled_for_copied_files_one_case_in_memory(three, tmp_path, monkeypatch):
    checked = run(three, tmp_path / "kept")
    held, most = weakref.WeakSet(), []

    class Watched(recalling.CaseReader):
        def __init__(self, *args):
            super().__init__(*args)
            held.add(self)

        def _content(self, path):
            most.append(len(held))
            return super()._content(path)

    monkeypatch.setattr(recalling, "CaseReader", Watched)
    cohort = read_cohort(three.folder, case_format=CASES)
    folders = [tmp_path / "nothing", tmp_path / "kept"]
    recalled = recall_cohort(cohort, case_format=CASES, folders=folders, index=SourceIndex())
    assert recalled is not None
    assert (recalled.cohort, recalled.findings) == (checked.cohort, checked.findings)
    assert most
    assert max(most) == 1
