"""One kit in two folders, and one port for two servers, with the processes that a consortium runs."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from consilium.federation.rounds.checkpoints import SERVER_STORAGE
from consilium.guard.kit_processes import find_processes
from consilium.provisioning.kit import Kit
from consilium.records.site_connection import read_second_start
from consilium.site_check.finding import Status
from consilium.site_check.network import check_network

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

OTHER_ADDRESS = "127.0.0.2"
SERVER_MODULE = "nvflare.private.fed.app.server.server_train"


@pytest.fixture
def federation(hospitals: dict[str, Path], tmp_path: Path) -> Iterator[Federation]:
    """A server and a hospital, and a copy of each kit that was never started."""
    port = free_port()
    network = Network(SITES, port, isolated=False)
    federation = Federation({}, network, tmp_path)
    datasets = {site: hospitals[site] for site in SITES}
    try:
        kits, _ = provision(tmp_path / "project", datasets, network.address["server"], port, edit=_rename)
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


def _rename(project: dict[str, Any]) -> None:
    """Let hospitals reach the server by names of their own: one in its certificate, one that is not."""
    by_name = {one["name"]: one for one in project["participants"]}
    by_name[SERVER_NAME]["host_names"].append("localhost")
    by_name["north"]["connect_to"] = {"host": "localhost"}
    by_name["south"]["connect_to"] = {"host": OTHER_ADDRESS}


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
        first, second = (read_second_start(federation.kits[kit]) for kit in ("north", "second"))
        assert first is not None
        assert second is not None
        assert first.second == second.second
        assert "Successfully registered" not in federation.log_of("second")
        assert "evicted" not in federation.log_of(SERVER_NAME)
        assert federation.connected(session) == {"north"}

        for process in find_processes(federation.kits["north"]):
            psutil.Process(process.pid).send_signal(signal.SIGKILL)
        wait_until(lambda: "Successfully registered" in federation.log_of("second"), "the second joined")
        assert federation.connected(session) == {"north"}


@pytest.mark.long
def test_a_server_is_reached_by_a_name_that_its_certificate_does_not_have(federation: Federation) -> None:
    """Of a name in the certificate the other tests make use: `north` connects to localhost."""
    kit = federation.kits["south"]
    _, _, trust = check_network(Kit(kit), offline=False)
    assert trust.status is Status.FAILED
    assert "bears another name" in trust.seen
    config = kit / "local/comm_config.json"
    content = json.loads(config.read_text())
    content["grpc"] = {"options": [["grpc.ssl_target_name_override", "localhost"]]}
    config.write_text(json.dumps(content))
    assert [one.status for one in check_network(Kit(kit), offline=False)] == [Status.OK] * 3
    federation.start("south")
    with federation.session(LEAD) as session:
        wait_until(lambda: federation.connected(session) == {"north", "south"}, "both joined")


@pytest.mark.long
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
