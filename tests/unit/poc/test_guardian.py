"""The guardian of a proof of concept, with processes that are found as FLARE's are."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from consilium.poc.federation import Poc
from consilium.poc.project import Project

DEADLINE_SECONDS = 60
PROJECT = Path(__file__).parents[3] / "poc/project.yml"
PROGRAM = """
import subprocess, sys
from pathlib import Path
from consilium.poc.guardian import ended_with_this_process
with ended_with_this_process(Path(sys.argv[1])):
    flare = "nvflare.private.fed.app.client.client_train"
    words = [sys.executable, "-c", "import signal; signal.pause()", flare]
    site = subprocess.Popen([*words, "-m", sys.argv[2]], start_new_session=True)
    print(site.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def started(tmp_path):
    """The command of a proof of concept, and its site."""
    poc = Poc(tmp_path)
    Project.read(PROJECT).write(tmp_path / "project.yml")
    site = poc.kits / next(iter(poc.project().sites))
    words = [sys.executable, "-c", PROGRAM, str(tmp_path), str(site)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as command:
        process = psutil.Process(int(command.stdout.readline()))
        guardian = [one for one in psutil.Process(command.pid).children() if one.pid != process.pid]
        yield command, process, guardian
        if process.is_running():
            process.kill()


def test_a_killed_command_leaves_no_site_behind(started):
    command, site, _ = started
    command.kill()
    _, alive = psutil.wait_procs([site], timeout=DEADLINE_SECONDS)
    assert alive == []


def test_what_another_command_has_started_since_is_left_alone(started, tmp_path):
    command, site, guardian = started
    (tmp_path / "command.pid").write_text("another")
    command.kill()
    _, alive = psutil.wait_procs(guardian, timeout=DEADLINE_SECONDS)
    assert alive == []
    assert site.is_running()


def test_a_command_that_ends_in_order_decides_itself(started):
    command, site, guardian = started
    command.stdin.close()
    assert command.wait(DEADLINE_SECONDS) == 0
    _, alive = psutil.wait_procs(guardian, timeout=DEADLINE_SECONDS)
    assert alive == []
    assert site.is_running()
