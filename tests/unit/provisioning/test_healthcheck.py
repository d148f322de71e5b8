"""The health check of the image, over a kernel's table of sockets."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from site_check.federation import free_port

from .provisioned import PROJECT, SERVER, provision

CHECK = PROJECT.parent / "image/healthcheck.py"
PORT = free_port()


@pytest.fixture(scope="module")
def kits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = yaml.safe_load(PROJECT.read_text())
    project["participants"][0].update(fed_learn_port=PORT, admin_port=PORT)
    return provision(tmp_path_factory.mktemp("project"), project)


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def server(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    with socket.create_server(("", PORT), family=request.param) as listening:
        yield listening


def check(kit: Path, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(CHECK), str(kit)], capture_output=True, text=True, check=False, env=environment
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.strip()


pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="no /proc/net/tcp here")


def test_nobody_listens_and_nobody_is_connected(kits: Path) -> None:
    assert check(kits / SERVER) == (1, f"no process listens on port {PORT}")
    assert check(kits / "north") == (1, f"no connection to the server's port {PORT}")


@pytest.mark.quick_cases(1)
def test_a_server_that_listens_is_healthy(kits: Path, server: socket.socket) -> None:
    assert check(kits / SERVER) == (0, "healthy")
    assert check(kits / "north")[0] == 1


def test_a_site_that_is_connected_is_healthy(kits: Path, server: socket.socket) -> None:
    host = "::1" if server.family == socket.AF_INET6 else "127.0.0.1"
    with socket.create_connection((host, PORT)):
        assert check(kits / "north") == (0, "healthy")
    server.accept()[0].close()


def test_a_site_behind_a_proxy_is_healthy_by_its_connection_to_that(kits: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        place = proxy.getsockname()
        with socket.create_connection(place):
            url = f"http://127.0.0.1:{place[1]}"
            assert check(kits / "north", https_proxy=url) == (0, "healthy")
            assert check(kits / "north", HTTPS_PROXY=url)[0] == 1  # gRPC reads no capitals
            assert check(kits / "north", grpc_proxy="http://127.0.0.1:x", https_proxy=url)[0] == 1
        proxy.accept()[0].close()


def test_what_is_no_kit_is_named(tmp_path: Path, kits: Path) -> None:
    for folder in (tmp_path, kits / "scientist@consortium.example"):
        code, said = check(folder)
        assert code == 1
        assert said == f"{folder} is not a kit of a server or a hospital: mount one there"
