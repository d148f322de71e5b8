"""A site dies while its update is on its way: in FLARE 2.9 that ends the job's process at the server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.security.federation import free_port, read
from integration.upload_cell import UPDATE
from waiting import wait_until

pytestmark = pytest.mark.integration

PROGRAM = str(Path(__file__).with_name("upload_cell.py"))
IMPATIENT = {"NVFLARE_NP_STREAMING_PER_REQUEST_TIMEOUT": "2"}
"""FLARE's own wait for a piece is ten minutes, four times over."""


@pytest.fixture
def url() -> str:
    return f"tcp://127.0.0.1:{free_port()}"


@pytest.fixture
def printed(url: str, tmp_path: Path) -> Iterator[Path]:
    """What the job's process at the server prints; it runs."""
    path = tmp_path / "server.txt"
    with path.open("w") as file:
        server = subprocess.Popen(
            [sys.executable, PROGRAM, "server", url], stdout=file, stderr=file, env=os.environ | IMPATIENT
        )
    try:
        wait_until(lambda: "ready" in read(path) or server.poll() is not None, "the server is ready")
        yield path
        assert server.poll() is None, read(path)
    finally:
        server.kill()
        server.wait()


def site(role: str, url: str, name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PROGRAM, role, url, name], capture_output=True, text=True, check=False, timeout=120
    )


def test_the_server_s_process_lives_on_and_takes_the_others_updates(printed: Path, url: str) -> None:
    assert site("dying-site", url, "south").returncode == 9
    wait_until(lambda: "failed to download from south" in read(printed), "the server has noticed")
    sent = site("site", url, "north")
    assert sent.stdout.split() == ["ok"], sent.stderr
    assert f"took {float(UPDATE['w'].sum(dtype=float))}" in read(printed)
