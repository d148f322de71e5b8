import hashlib
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
from typer.testing import CliRunner

from consilium.cli.main import app
from consilium.guard.kit_processes import find_processes
from consilium.provisioning import site_stop
from consilium.provisioning.kit import Kit
from consilium.provisioning.site_stop import JobRuns, StopError, running_jobs, stop_site
from consilium.records.site_status import SiteStatus, read_site_status
from consilium.report.status.site import describe_site

from .kit_folder import make_kit

POLITE = "import signal; print('ready', flush=True); signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True)\n"
    "while True: signal.pause()"
)
WITH_HELPER = (
    "import signal, subprocess, sys\n"
    f"helper = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}], stdout=subprocess.PIPE)\n"
    "helper.stdout.readline(); print('ready', flush=True); signal.pause()"
)
JOB = "7ce19570-d6c7-44e4-b30c-b0469428dc0b"
PARENT = "nvflare.private.fed.app.client.client_train"
WORKER = "nvflare.private.fed.app.client.worker_process"


@pytest.fixture
def root(tmp_path):
    return make_kit(tmp_path / "my kits" / "north")


@pytest.fixture
def start():
    with ExitStack() as stack:

        def start(*words, code=POLITE):
            line = [sys.executable, "-c", code, *map(str, words)]
            process = stack.enter_context(subprocess.Popen(line, stdout=subprocess.PIPE))
            stack.callback(process.kill)
            assert process.stdout.readline() == b"ready\n"
            return process

        yield start


def stop(*words):
    return CliRunner().invoke(app, ["site", "stop", *map(str, words)], env={"COLUMNS": "400"})


def test_all_that_runs_from_a_kit_ends_scripts_first_and_is_named(root, start):
    job = start(WORKER, "-m", root, "-n", JOB)
    parent = start(PARENT, "-m", root)
    script = start(root / "startup/sub_start.sh")
    ended = stop_site(Kit(root), jobs_too=True)
    assert [(one.pid, one.what, one.killed) for one in ended] == [
        (script.pid, "start script", False),
        (parent.pid, "parent process", False),
        (job.pid, f"job {JOB}", False),
    ]
    assert None not in (job.poll(), parent.poll(), script.poll())


def test_while_a_job_runs_nothing_is_stopped_unless_it_is_asked_for(root, start):
    job, parent = start(WORKER, "-m", root, "-n", JOB), start(PARENT, "-m", root)
    assert running_jobs(Kit(root)) == [JOB]
    with pytest.raises(JobRuns, match=JOB):
        stop_site(Kit(root))
    refused = stop(root)
    assert refused.exit_code == 1
    assert JOB in refused.stderr
    assert "--when-idle" in refused.stderr
    assert (job.poll(), parent.poll()) == (None, None)
    done = stop("--now", root)
    assert done.exit_code == 0
    assert "continues without north" in done.stdout


def keep_record(root, job_id, process, **changes):
    started = psutil.Process(process.pid).create_time()
    SiteStatus(
        job_id=job_id, job="tumor", log="log.txt", since=1, updated=2, state="training", process=process.pid,
        process_started=started, **changes,
    ).save(root)  # fmt: skip


def test_the_record_of_a_job_that_a_stop_has_ended_says_so(root, start):
    job, parent = start(WORKER, "-m", root, "-n", JOB), start(PARENT, "-m", root)
    keep_record(root, JOB, job)
    keep_record(root, "done", parent, ended=1.0, outcome="success")
    crashed = start()
    keep_record(root, "crashed", crashed)
    crashed.kill()
    crashed.wait()
    stop_site(Kit(root), jobs_too=True)
    kept = {one.job_id: one for one in read_site_status(root)}
    assert kept[JOB].stopped
    assert "this site's part ended while training: the site was stopped" in describe_site(kept[JOB])[0]
    assert (kept["done"].ended, kept["done"].outcome) == (1.0, "success")
    assert kept["crashed"].lost, "that one was not ended by the stop"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root stops another account's site")
def test_root_leaves_the_records_of_jobs_to_the_account_of_the_site(start):
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        root = make_kit(Path(folder) / "north")
        job = start(WORKER, "-m", root, "-n", JOB)
        keep_record(root, JOB, job)
        for path in (root, *root.rglob("*")):
            os.chown(path, 65534, 65534)
        before, rights = set(root.rglob("*")), (os.geteuid(), os.getegid(), os.getgroups())
        stop_site(Kit(root), jobs_too=True)
        assert [one.stopped for one in read_site_status(root)] == [True]
        assert {(path.stat().st_uid, path.stat().st_gid) for path in before} == {(65534, 65534)}
        assert (os.geteuid(), os.getegid(), os.getgroups()) == rights


def test_a_job_that_starts_meanwhile_is_not_stopped(root, start, monkeypatch):
    parent, seen = start(PARENT, "-m", root), iter([[], [JOB]])
    monkeypatch.setattr(site_stop, "running_jobs", lambda kit: next(seen))
    refused = stop(root)
    assert (refused.exit_code, parent.poll()) == (1, None)
    assert JOB in refused.stderr
    assert "--when-idle" in refused.stderr


def test_a_job_that_slurm_runs_elsewhere_is_a_job(root, start):
    (root / JOB).mkdir()
    (root / ".nvflare_slurm/jobs" / hashlib.sha256(JOB.encode()).hexdigest()).mkdir(parents=True)
    assert running_jobs(Kit(root)) == []  # left by a site that was killed; the next start ends it
    start(PARENT, "-m", root)
    assert running_jobs(Kit(root)) == [JOB]
    with pytest.raises(JobRuns, match=JOB):
        stop_site(Kit(root))


def test_what_ignores_the_signal_is_killed_with_all_that_it_started(root, start):
    stubborn = start(PARENT, "-m", root, code=STUBBORN)
    helping = start(WORKER, "-m", root, "-n", JOB, code=WITH_HELPER)
    (helper,) = psutil.Process(helping.pid).children()
    ended = {one.pid: one for one in stop_site(Kit(root), jobs_too=True, grace=0.5)}
    assert ended[stubborn.pid].killed
    assert ended[helper.pid].killed
    assert ended[helper.pid].what == f"helper of job {JOB}"
    assert not ended[helping.pid].killed


@pytest.mark.long
def test_waiting_for_the_end_of_the_job(root, start):
    job, parent = start(WORKER, "-m", root, "-n", JOB), start(PARENT, "-m", root)
    with subprocess.Popen(["sh", "-c", f"sleep 1; kill {job.pid}"]):
        done = stop("--when-idle", root)
    assert done.exit_code == 0
    assert f"ended: parent process, process {parent.pid}" in done.stdout
    assert JOB not in done.stdout


def test_nothing_that_would_keep_the_next_start_from_running_is_left(root, start):
    names = ("daemon_pid.fl", "pid.fl", "shutdown.fl", "restart.fl")
    for name in names:
        (root / name).write_text("1\n")
    done = stop(root)
    assert (done.exit_code, "nothing runs" in done.stdout) == (0, True)
    assert not list(root.glob("*.fl"))


def test_other_kits_are_left_alone(root, start, tmp_path):
    other = start(PARENT, "-m", tmp_path / "my kits" / "north-2")
    assert stop_site(Kit(root), jobs_too=True) == []
    assert other.poll() is None


def test_a_folder_that_is_no_kit_is_an_error(tmp_path):
    assert "is not a site's startup kit" in str(stop(tmp_path).exception)


def test_a_number_that_is_another_process_by_now_is_left_alone(root, start, monkeypatch):
    process = start(PARENT, "-m", root)
    (found,) = find_processes(root)
    answers = iter([[replace(found, since=found.since - 60)]])
    monkeypatch.setattr(site_stop, "find_processes", lambda *kits: next(answers, []))
    with pytest.raises(StopError):
        stop_site(Kit(root), jobs_too=True, grace=0.1)
    assert process.poll() is None
