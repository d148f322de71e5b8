import subprocess
import sys

import psutil
import pytest

from consilium.simulation import process as module
from consilium.simulation.process import stop_process_tree

# Each generation starts the next and tells when all are up; the last one ignores a polite request.
GRANDCHILD = """
import signal
{stubborn}
print("ready", flush=True)
signal.pause()
"""
CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
PARENT = (
    "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[2], sys.argv[1]], check=False)"
)
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
DEADLINE_SECONDS = 20


@pytest.fixture
def family(request):
    """A process with a child and a grandchild, all up and running."""
    grandchild = GRANDCHILD.format(stubborn=request.param)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, grandchild, CHILD], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout.readline() == "ready\n"
        members = [psutil.Process(parent.pid), *psutil.Process(parent.pid).children(recursive=True)]
        yield members
        for member in members:
            if member.is_running():
                member.kill()


@pytest.mark.parametrize("family", ["", STUBBORN], indirect=True, ids=["polite", "stubborn"])
def test_no_descendant_outlives_a_stopped_job(family, monkeypatch):
    monkeypatch.setattr(module, "_SECONDS_TO_END", 0.5)
    assert len(family) == 3
    stop_process_tree(family[0].pid)
    _, alive = psutil.wait_procs(family, timeout=DEADLINE_SECONDS)
    assert alive == []


def test_stopping_what_has_ended_is_no_error():
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait(DEADLINE_SECONDS)
    stop_process_tree(ended.pid)
