"""The lock of a workspace in the parent process of a site."""

import errno
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from consilium.errors import ConfigurationError
from consilium.guard.kit_processes import LOCK_FILE
from consilium.guard.start_check import check_start, is_one_word

from .machine import DEADLINE_SECONDS


def test_a_lock_of_another_account_is_rejected_with_words(tmp_path, monkeypatch):
    (tmp_path / LOCK_FILE).touch()

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ConfigurationError, match="the account that owns it"):
        check_start(tmp_path)


@pytest.mark.parametrize(("path", "whole"), [("/opt/north", True), ("/a\tb", False), ("/ä/é", True)])
def test_paths_that_flares_launcher_leaves_whole(path, whole):
    assert is_one_word(path) is whole


HOLD = """
import os, sys, signal
from types import SimpleNamespace
sys.modules["__main__"].__spec__ = SimpleNamespace(name=sys.argv[1])
from consilium.guard.workspace_lock import WorkspaceLock
WorkspaceLock.hold()
WorkspaceLock.hold()
print("held", flush=True)
signal.pause()
"""
SITE = "nvflare.private.fed.app.client.client_train"
JOB = "nvflare.private.fed.app.client.worker"


def hold(stack: ExitStack, folder: Path, module: str) -> SimpleNamespace:
    process = stack.enter_context(
        subprocess.Popen(
            [sys.executable, "-c", HOLD, module], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    )
    stack.callback(process.kill)
    said = process.stdout.readline().strip()
    return SimpleNamespace(process=process, held=said == b"held")


def test_a_parent_process_that_starts_again_ends_what_the_one_before_left_of_its_jobs(tmp_path):
    line = [sys.executable, "-c", "import signal; print(1, flush=True); signal.pause()", f"{JOB}_process"]
    with ExitStack() as stack:
        left, others = (
            stack.enter_context(
                subprocess.Popen([*line, "-m", folder], stdout=subprocess.PIPE, start_new_session=True)
            )
            for folder in (tmp_path, tmp_path / "other")
        )
        for process in (left, others):
            stack.callback(process.kill)
            assert process.stdout.readline()
        assert hold(stack, tmp_path, f"{JOB}_process").held
        assert left.poll() is None, "a job's process has no part in it"
        assert hold(stack, tmp_path, SITE).held
        assert left.wait(timeout=DEADLINE_SECONDS) < 0
        assert others.poll() is None
        job = stack.enter_context(subprocess.Popen([*line, "-m", tmp_path], stdout=subprocess.PIPE))
        stack.callback(job.kill)
        assert job.stdout.readline()
        assert not hold(stack, tmp_path, SITE).held
        assert job.poll() is None, "the start that holds the lock has this job"


def test_a_parent_process_without_a_script_takes_the_lock_and_a_jobs_does_not(tmp_path):
    with ExitStack() as stack:
        assert hold(stack, tmp_path, SITE).held
        second = hold(stack, tmp_path, SITE)
        assert not second.held
        assert b"this kit runs already" in second.process.stderr.read()
        assert hold(stack, tmp_path, "nvflare.private.fed.app.client.worker_process").held
    with ExitStack() as stack:
        assert hold(stack, tmp_path, SITE).held
