"""Ctrl-C: nothing runs on, and the same command resumes."""

import os
import signal
from contextlib import suppress

import psutil
import pytest

from waiting import DEADLINE_SECONDS, wait_until

from .interrupts import is_running, press_ctrl_c, processes_of, started
from .studies import command, export, read_if_there, simulate

pytestmark = pytest.mark.integration

# Long enough to be caught training.
CHANGES = {"learning.local_steps": 20}
SITES = ("north", "south")
COMPARING = "to compare with"
NOT_AGAIN = "not done again"


@pytest.mark.long
def test_an_interrupted_study_leaves_no_process_and_resumes_where_it_stopped(hospitals, tmp_path):
    out, log = tmp_path / "out", tmp_path / "stderr.txt"
    job = export(tmp_path / "jobs", CHANGES)
    sites = {name: hospitals[name] for name in SITES}
    words = command(job, sites, out, "--compare")

    with started(words, log) as process:
        wait_until(lambda: _trains(out) or process.poll() is not None, "no site trains")
        assert process.poll() is None, log.read_text()
        code, descendants = press_ctrl_c(process)
        assert len(descendants) >= 1 + len(sites)  # the simulator and a process for each site
        _assert_stopped(code, descendants, out, log)

    with started(words, log) as process:
        wait_until(
            lambda: _compares(process, log) or process.poll() is not None, "the comparison does not begin"
        )
        assert process.poll() is None, log.read_text()
        assert NOT_AGAIN not in log.read_text()
        code, descendants = press_ctrl_c(process)
        _assert_stopped(code, descendants, out, log)

    study = simulate(job, sites, out, "--compare")
    assert study.code == 0, study.stderr
    assert "Warning" not in study.stderr
    assert NOT_AGAIN in study.stderr
    report = study.report
    assert report["status"] == "finished"
    assert report["summary"]["local"]["dice"] >= 0
    assert report["summary"]["pooled"]["dice"] >= 0
    assert report["baseline_steps"] == {"local": 40, "pooled": 40}
    assert all(report["seconds"][part] > 0 for part in ("federated", "local", "pooled", "total"))
    assert not processes_of(out)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_study_that_is_ended_in_another_way_leaves_no_process_either(hospitals, tmp_path, number):
    """By `timeout`, Slurm or systemd; with its terminal; at once."""
    out, log = tmp_path / "out", tmp_path / "stderr.txt"
    words = command(export(tmp_path / "jobs", CHANGES), {name: hospitals[name] for name in SITES}, out)
    with started(words, log) as process:
        wait_until(lambda: _trains(out) or process.poll() is not None, "no site trains")
        assert process.poll() is None, log.read_text()
        descendants = psutil.Process(process.pid).children(recursive=True)
        assert len(descendants) >= 1 + len(SITES)
        os.kill(process.pid, number)
        code = process.wait(DEADLINE_SECONDS)
        if number == signal.SIGKILL:
            wait_until(lambda: not any(map(is_running, descendants)), "a process runs on")
        else:
            _assert_stopped(code, descendants, out, log)


def _trains(out):
    return '"training"' in read_if_there(out / "simulation/server/simulate_job/progress.json")


def _compares(process, log):
    if COMPARING not in log.read_text():
        return False
    with suppress(psutil.Error):
        return any(_works(child) for child in psutil.Process(process.pid).children())
    return False


def _works(child):
    """Whether it has got past the start of Python, which prints a traceback if its parent ends meanwhile."""
    return "spawn_main" in " ".join(child.cmdline()) and child.cpu_times().user > 1


def _assert_stopped(code, descendants, out, log):
    said = log.read_text()
    assert code == 130, said
    assert "The same command resumes" in said
    assert "Traceback" not in said
    assert "Warning" not in said
    _, alive = psutil.wait_procs(descendants, timeout=DEADLINE_SECONDS)
    assert alive == []
    wait_until(lambda: not processes_of(out), "a process runs on")
