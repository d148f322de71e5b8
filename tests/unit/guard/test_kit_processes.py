import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from functools import partial

import psutil
import pytest

from consilium.guard.kit_processes import find_processes, stop_processes
from waiting import wait_until

SLEEP = "import signal; print('ready', flush=True); signal.pause()"
PARENT = "nvflare.private.fed.app.client.client_train"


@pytest.fixture
def start():
    with ExitStack() as stack:

        def start(*words, cwd=None):
            line = [sys.executable, "-c", SLEEP, *map(str, words)]
            process = stack.enter_context(subprocess.Popen(line, stdout=subprocess.PIPE, cwd=cwd))
            stack.callback(process.kill)
            assert process.stdout.readline() == b"ready\n"
            return process

        yield start


def wait_for_work(pid):
    """Wait until a shell has started its command, or has become it."""
    shell = psutil.Process(pid)
    wait_until(
        lambda: shell.name() not in ("sh", "dash", "bash") or shell.children(),
        "its command",
    )


def test_processes_of_kits_are_found_and_ended(tmp_path, start):
    parent = start(PARENT, "-m", tmp_path / "aster")
    job = start("nvflare.private.fed.app.client.worker_process", "-m", tmp_path / "aster")
    found = find_processes(tmp_path / "aster", tmp_path / "birch")
    assert {(one.participant, one.pid, one.is_parent) for one in found} == {
        ("aster", parent.pid, True),
        ("aster", job.pid, False),
    }
    stop_processes(found)
    assert None not in (parent.poll(), job.poll())


def test_a_kit_is_known_by_a_link_and_by_its_own_folder(tmp_path, start):
    kit, link = tmp_path / "aster", tmp_path / "link"
    (kit / "startup").mkdir(parents=True)
    link.symlink_to(kit)
    started = [start("startup/sub_start.sh", cwd=kit), start(PARENT, "-m", link)]
    assert {one.pid for one in find_processes(kit)} == {one.pid for one in started}
    assert {one.pid for one in find_processes(link)} == {one.pid for one in started}
    assert {one.kit for one in find_processes(link)} == {link}


@pytest.mark.parametrize(
    "words",
    [
        ("-f", "{kits}/aster/log.txt"),
        (PARENT, "-m", "{kits}/aster-2"),
        (PARENT, "-m", "{kits}/admin@consortium.example"),
        (PARENT, "-m", "/elsewhere/aster"),
    ],
    ids=["reader of a log", "similar name", "console of a user", "another POC"],
)
def test_other_processes_are_left_alone(tmp_path, start, words):
    start(*(word.format(kits=tmp_path) for word in words))
    assert find_processes(tmp_path / "aster") == []


def test_an_editor_of_a_script_and_a_search_in_a_log_are_no_processes_of_a_kit(tmp_path):
    kit = tmp_path / "aster"
    (kit / "startup").mkdir(parents=True)
    for name in ("startup/start.sh", "startup/sub_start.sh", "log.txt"):
        (kit / name).write_text("")
    with ExitStack() as stack:
        for words in (
            ["tail", "-f", kit / "startup/start.sh"],
            ["tail", "-f", "startup/sub_start.sh"],
            ["sh", "-c", "true; tail -f startup/start.sh"],
            ["sh", "-c", "tail -f startup/start.sh & wait; startup/start.sh"],
            ["sh", "-c", "sleep 60; true", PARENT, kit / "log.txt"],
            ["sh", "-c", "sleep 60; true", "nvflare.tool.job", "-m", kit],
        ):
            run = partial(subprocess.Popen, cwd=kit, start_new_session=True, stdout=subprocess.DEVNULL)
            process = stack.enter_context(run(words))
            stack.callback(os.killpg, process.pid, signal.SIGKILL)
            wait_for_work(process.pid)
        assert find_processes(kit) == []


def test_a_kit_in_another_s_folder_is_another_kit(tmp_path, start):
    inner = tmp_path / "aster" / "birch"
    process = start(PARENT, "-m", inner)
    assert find_processes(tmp_path / "aster") == []
    assert [one.pid for one in find_processes(inner)] == [process.pid]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has processes of other accounts")
@pytest.mark.parametrize(("account", "count"), [(0, 1), (65534, 0)])
def test_another_account_has_no_process_of_a_kit(tmp_path, account, count):
    (tmp_path / "aster").mkdir()
    words = ["/bin/sh", "-c", "read line", PARENT, "-m", tmp_path / "aster", "-n", "a job"]
    with subprocess.Popen(
        words, user=account, cwd="/", stdin=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            assert len(find_processes(tmp_path / "aster")) == count
        finally:
            os.killpg(process.pid, signal.SIGKILL)
