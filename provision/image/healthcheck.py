"""Health check of a site's container: a hospital is connected to the server, a server listens.

It needs nothing but Python's own library and opens no connection, so it leaves no line in the server's log.
A process that is gone needs no check: the container ends with it, and is started again. Behind a proxy, a
hospital's connection is one to the proxy that gRPC takes: the first of three variables that is set.

    python3 healthcheck.py KIT

Exit code: 0 healthy, 1 not, with the reason on standard output.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

_ESTABLISHED, _LISTEN = "01", "0A"
_TABLES = ("tcp", "tcp6")
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
_PROXY_PORT = 443
"""Of a proxy that names none, to gRPC."""


class Socket(NamedTuple):
    """A TCP socket as the kernel lists it."""

    local_port: int
    remote_port: int
    state: str


def sockets(tables: Path) -> Iterator[Socket]:
    """Yield every TCP socket of this network namespace."""
    for name in _TABLES:
        table = tables / name
        if not table.exists():
            continue
        for line in table.read_text().splitlines()[1:]:
            _, local, remote, state, *_ = line.split()
            yield Socket(_port(local), _port(remote), state)


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def check(kit: Path, tables: Path = Path("/proc/net")) -> str | None:
    """Return what is wrong with the site of a kit; None if it is healthy."""
    for name, is_well, problem in (
        ("fed_server.json", _listens, "no process listens on port {port}"),
        ("fed_client.json", _is_connected, "no connection to the server's port {port}"),
    ):
        settings = kit / "startup" / name
        if settings.exists():
            target = json.loads(settings.read_text())["servers"][0]["service"]["target"]
            port = int(target.rpartition(":")[2])
            return None if any(is_well(one, port) for one in sockets(tables)) else problem.format(port=port)
    return f"{kit} is not a kit of a server or a hospital: mount one there"


def _listens(socket: Socket, port: int) -> bool:
    return socket.state == _LISTEN and socket.local_port == port


def _is_connected(socket: Socket, port: int) -> bool:
    return socket.state == _ESTABLISHED and socket.remote_port in (port, _proxy_port())


def _proxy_port() -> int | None:
    """The port of the proxy that gRPC would take; None where none is set, or it can't be read."""
    proxy = next((os.environ[name] for name in _PROXIES if name in os.environ), "")
    try:
        parts = urlsplit(proxy)
        return (parts.port or _PROXY_PORT) if parts.scheme == "http" and parts.hostname else None
    except ValueError:
        return None


if __name__ == "__main__":
    problem = check(Path(sys.argv[1] if len(sys.argv) > 1 else "/kit"))
    sys.stdout.write(f"{problem or 'healthy'}\n")
    sys.exit(problem is not None)
