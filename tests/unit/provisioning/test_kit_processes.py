import subprocess
import sys
from contextlib import ExitStack

import pytest

from consilium.provisioning.kit_processes import find_processes, stop_processes

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
