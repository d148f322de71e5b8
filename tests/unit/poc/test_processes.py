import subprocess
import sys
from contextlib import ExitStack

import pytest

from consilium.poc.processes import find_processes, stop_processes

SLEEP = "import signal; print('ready', flush=True); signal.pause()"
PARENT = "nvflare.private.fed.app.client.client_train"


@pytest.fixture
def start():
    with ExitStack() as stack:

        def start(*words):
            process = stack.enter_context(
                subprocess.Popen([sys.executable, "-c", SLEEP, *map(str, words)], stdout=subprocess.PIPE)
            )
            stack.callback(process.kill)
            assert process.stdout.readline() == b"ready\n"
            return process

        yield start


def test_processes_of_kits_are_found_and_ended(tmp_path, start):
    parent = start(PARENT, "-m", tmp_path / "aster")
    job = start("nvflare.private.fed.app.client.worker_process", "-m", tmp_path / "aster")
    found = find_processes(tmp_path, ["aster", "birch"])
    assert {(one.participant, one.pid, one.is_parent) for one in found} == {
        ("aster", parent.pid, True),
        ("aster", job.pid, False),
    }
    stop_processes(found)
    assert None not in (parent.poll(), job.poll())


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
    assert find_processes(tmp_path, ["aster"]) == []
