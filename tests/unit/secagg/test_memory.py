import stat
import subprocess
import sys
import threading

import pytest

from consilium.errors import DataError
from consilium.secagg import memory as memory_module
from consilium.secagg.errors import SecAggRefusal
from consilium.secagg.memory import SecAggMemory

SUBJECT, ALL, FEWER = b"s" * 32, b"a" * 32, b"f" * 32


def test_attempts_grow_within_a_job_and_across_restarts(tmp_path):
    SecAggMemory(tmp_path / "m").begin_attempt("job", 3)
    memory = SecAggMemory(tmp_path / "m")
    for number in (1, 2, 3):
        with pytest.raises(SecAggRefusal, match=f"attempt {number} .* took part in attempt 3"):
            memory.begin_attempt("job", number)
    memory.begin_attempt("job", 4)
    memory.begin_attempt("another", 1)


def test_a_subject_is_opened_for_one_list_of_survivors(tmp_path):
    SecAggMemory(tmp_path / "m").record_opening([SUBJECT], ALL)
    memory = SecAggMemory(tmp_path / "m")
    memory.record_opening([SUBJECT], ALL)
    other = b"t" * 32
    for subjects in ([SUBJECT], [SUBJECT, other], [other, SUBJECT]):
        with pytest.raises(SecAggRefusal, match="with other survivors"):
            memory.record_opening(subjects, FEWER)
    memory.record_opening([other], FEWER)


def test_of_two_processes_that_begin_an_attempt_one_does(tmp_path):
    outcomes = []

    def begin():
        try:
            SecAggMemory(tmp_path / "m").begin_attempt("job", 1)
            outcomes.append("begun")
        except SecAggRefusal:
            outcomes.append("refused")

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["begun", *["refused"] * 5]


@pytest.mark.parametrize(
    "content", [b"no database at all, but a text" * 50, b"SQLite format 3\0" + bytes(2000)]
)
def test_a_damaged_memory_is_an_error_and_not_an_empty_one(tmp_path, content):
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(DataError, match="can't be used"):
        SecAggMemory(tmp_path / "m").begin_attempt("job", 1)
    assert (tmp_path / "m").read_bytes() == content


def test_a_memory_that_can_not_be_written_is_an_error(tmp_path):
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(DataError, match="can't be used"):
        SecAggMemory(tmp_path / "folder" / "m").begin_attempt("job", 1)


def test_only_its_owner_can_read_it(tmp_path):
    SecAggMemory(tmp_path / "made" / "m").begin_attempt("job", 1)
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "made").iterdir()} == {0o600}


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path):
    SecAggMemory(tmp_path / "m").begin_attempt("job", 1)
    (tmp_path / "m").chmod(0o644)
    SecAggMemory(tmp_path / "m").begin_attempt("job", 2)
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o600


LOCK = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"


def test_another_thread_does_not_release_the_lock_against_other_processes(tmp_path, monkeypatch):
    """POSIX drops all locks of a process on a file as soon as it closes the file once."""
    monkeypatch.setattr(memory_module, "_WAIT_SECONDS", 0.05)
    memory = SecAggMemory(tmp_path / "m")
    memory.begin_attempt("job", 1)
    with memory._transaction():
        with pytest.raises(DataError, match="locked"):
            SecAggMemory(tmp_path / "m").begin_attempt("job", 2)
        other = subprocess.run(
            [sys.executable, "-c", LOCK, tmp_path / "m"], capture_output=True, text=True, check=False
        )
    assert "database is locked" in other.stderr
