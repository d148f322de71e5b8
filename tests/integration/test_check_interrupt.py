"""Ctrl-C while a folder is being checked: nothing runs on, and the same command resumes."""

import json
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from waiting import DEADLINE_SECONDS, wait_until

from .interrupts import is_running, started
from .studies import run

pytestmark = pytest.mark.integration

CASES = 24
"""Enough that most are still to be checked when the first ones are."""


@pytest.fixture
def folder(hospitals, tmp_path) -> Path:
    """One patient under many ids."""
    source = min(path for path in hospitals["north"].iterdir() if path.is_dir())
    for number in range(CASES):
        case = tmp_path / "data" / f"P{number:03d}"
        case.mkdir(parents=True)
        for path in source.iterdir():
            os.link(path, case / path.name.replace(source.name, case.name))
    return tmp_path / "data"


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, *(pytest.param(one, marks=pytest.mark.long) for one in (signal.SIGTERM, signal.SIGKILL))],
)
def test_an_interrupted_check_leaves_no_process_and_resumes_where_it_stopped(folder, tmp_path, number):
    state, log = tmp_path / "state", tmp_path / "stderr.txt"
    notes = state / "findings"
    program = str(Path(sys.executable).with_name("consilium"))
    words = [program, "check", str(folder), "--json", "--workers", "2", "--state", str(state)]

    with started(words, log) as process:
        wait_until(lambda: any(notes.glob("*.json")) or process.poll() is not None, "no case is checked")
        assert process.poll() is None, log.read_text()
        descendants = psutil.Process(process.pid).children(recursive=True)
        assert len(descendants) >= 2
        if number == signal.SIGKILL:
            process.kill()
        else:
            os.killpg(process.pid, number)  # as a terminal does, and `timeout`
        code = process.wait(DEADLINE_SECONDS)
        if number != signal.SIGKILL:
            assert code == 130
            assert "nothing runs on. The same command resumes." in log.read_text()
        assert "Traceback" not in log.read_text()
        wait_until(lambda: not any(map(is_running, descendants)), "a process runs on")
    kept = {path: path.stat().st_mtime_ns for path in notes.iterdir()}
    assert 0 < len(kept) < CASES

    code, stdout, stderr = run(words)
    assert code == 1, stderr  # all but one are copies of the first
    assert json.loads(stdout)["cases"]["used"] == 1
    assert len(list(notes.iterdir())) == CASES
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
