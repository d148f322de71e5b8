"""One kit in two folders, and one port for two servers, with the processes that a consortium runs."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from consilium.federation.rounds.durable_rounds import SERVER_STORAGE
from consilium.provisioning.kit_processes import find_processes

from .security.federation import (
    LEAD,
    SERVER_NAME,
    SITES,
    Federation,
    _environment,
    free_port,
    provision,
    read,
    wait_until,
)
from .security.network import Network

pytestmark = pytest.mark.integration

SERVER_MODULE = "nvflare.private.fed.app.server.server_train"


@pytest.fixture
def federation(hospitals: dict[str, Path], tmp_path: Path) -> Iterator[Federation]:
    """A server and a hospital, and a copy of each kit that was never started."""
    port = free_port()
    network = Network(SITES, port, isolated=False)
    federation = Federation({}, network, tmp_path)
    datasets = {site: hospitals[site] for site in SITES}
    try:
        kits, _ = provision(tmp_path / "project", datasets, network.address["server"], port)
        copies = {
            name: Path(shutil.copytree(kits[kit], tmp_path / "elsewhere" / kit))
            for name, kit in (("second", "north"), ("second server", SERVER_NAME))
        }
        federation.kits = {**kits, **copies}
        for participant in (SERVER_NAME, "north"):
            federation.start(participant)
        wait_until(lambda: "Server started" in federation.log_of(SERVER_NAME), "the server started")
        yield federation
    finally:
        federation.stop()
        network.close()


def _is_said(federation: Federation, participant: str) -> bool:
    return "was started twice" in federation.log_of(participant)


def test_a_second_start_of_a_site_waits_and_takes_over_when_the_first_has_ended(
    federation: Federation,
) -> None:
    with federation.session(LEAD) as session:
        wait_until(lambda: federation.connected(session) == {"north"}, "the hospital joined")
        federation.start("second")
        for participant in ("second", SERVER_NAME, "north"):
            wait_until(partial(_is_said, federation, participant), f"{participant} says so")
        assert "stop one of the two there" in federation.log_of("second")
        assert "Successfully registered" not in federation.log_of("second")
        assert "evicted" not in federation.log_of(SERVER_NAME)
        assert federation.connected(session) == {"north"}

        for process in find_processes(federation.kits["north"]):
            psutil.Process(process.pid).send_signal(signal.SIGKILL)
        wait_until(lambda: "Successfully registered" in federation.log_of("second"), "the second joined")
        assert federation.connected(session) == {"north"}


def test_a_server_whose_port_is_taken_says_so_and_ends(federation: Federation) -> None:
    kit = federation.kits["second server"]
    script = subprocess.run(
        [kit / "startup/start.sh"], env=_environment(kit), capture_output=True, text=True, timeout=60
    )
    assert script.returncode == 1
    assert "is taken by another program of this machine (process " in script.stderr
    words = ["-m", str(kit), "-s", "fed_server.json", "--set", "secure_train=true", "org=consortium"]
    direct = subprocess.run(
        [sys.executable, "-m", SERVER_MODULE, *words, "config_folder=config"],
        env={**_environment(kit), SERVER_STORAGE: str(kit)}, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert direct.returncode != 0
    log = read(kit / "log.txt")
    assert "at which the server is to listen, is taken" in log
    assert "Server started" not in log
