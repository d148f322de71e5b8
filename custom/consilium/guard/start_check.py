"""Checks of a kit before its start: `python3 -m consilium.guard.start_check`.

FLARE's own scripts start whatever they find: a second process of the same kit, a server whose port is taken,
a kit whose path its launcher can't split. Each of them looks started and doesn't work.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import shutil
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from consilium.guard.kit_processes import LOCK_FILE, end_orphans
from consilium.guard.workspace_lock import STATE_FILES, StartError, open_lock, take

FAILED: Final = 3
"""Exit code that differs from that of a Python without this package."""

SPLIT: Final = (
    "FLARE splits the command lines of its jobs at spaces, and at quotes, backslashes and '#' as well. Move "
    "it to a folder without them, and start it there"
)

_LEAST_FREE_MIB: Final = 64
"""Enough for the logs of a start; what a job needs, `consilium check-site` estimates."""

_SERVER: Final = Path("startup/fed_server.json")


def main() -> int:
    """Check a kit; return the exit code, with messages on standard error."""
    parser = argparse.ArgumentParser(description="Check whether a kit can be started.")
    parser.add_argument("workspace", type=Path, help="the kit's folder, or where its processes work")
    parser.add_argument(
        "--hold", type=int, metavar="N", help="keep the lock on this descriptor of the caller"
    )
    arguments = parser.parse_args()
    try:
        warning = check_start(Path(os.path.normpath(arguments.workspace.absolute())), arguments.hold)
    except StartError as error:
        sys.stderr.write(f"Not started: {error}.\n")
        return FAILED
    if warning:
        sys.stderr.write(f"{warning}.\n")
    return 0


def check_start(workspace: Path, hold: int | None = None) -> str | None:
    """Check that a kit can be started; returns a warning, if there is one.

    Args:
        workspace: Where its processes would work, by the path that they would get.
        hold: Descriptor on which the start script that asks keeps the lock from now on; None to look only.

    Raises:
        StartError: If it can't, with what to do.
    """
    for path, what in ((str(workspace), "this kit lies in"), (sys.executable, "this Python is")):
        if not is_one_word(path):
            raise StartError(f"{what} {path!r}", SPLIT)
    _require_room(workspace)
    if hold is None:
        is_lockable = _check_lock(workspace)
    else:
        is_lockable = take(hold, workspace, holder=os.getppid())
        if is_lockable:
            for name in STATE_FILES:
                (workspace / name).unlink(missing_ok=True)
            end_orphans(workspace)
    for host, port in server_ports(workspace):
        require_free(host, port)
    if is_lockable:
        return None
    return f"{workspace} is on a file system without locks: nothing there prevents a second start"


def _require_room(workspace: Path) -> None:
    """Check that the disk isn't full, which FLARE's processes would not report."""
    present = workspace
    while not present.exists() and present != present.parent:
        present = present.parent
    free = shutil.disk_usage(present).free >> 20
    if free < _LEAST_FREE_MIB:
        raise StartError(
            f"the disk of {workspace} is full: {free} MiB are free, and a start needs {_LEAST_FREE_MIB} MiB",
            f"Make room (`df -h {present}` names the disk), and start the kit again",
        )


def _check_lock(workspace: Path) -> bool:
    try:
        (workspace / LOCK_FILE).lstat()
        descriptor = open_lock(workspace)
    except FileNotFoundError:
        return True
    try:
        return take(descriptor, workspace, says_who=False)
    finally:
        os.close(descriptor)


def is_one_word(path: str) -> bool:
    """Return whether FLARE's launcher, which splits its command line as a shell does, leaves a path whole."""
    return not any(character in path for character in " \t\r\n\f\v'\"\\#")


def server_ports(workspace: Path) -> list[tuple[str, int]]:
    """Return the addresses at which a server's kit will listen; none for a hospital's kit.

    FLARE listens at all addresses, unless the server's name is one of this machine for itself only.
    """
    try:
        server = json.loads((workspace / _SERVER).read_text())["servers"][0]
        name, _, port = str(server["service"]["target"]).rpartition(":")
        ports = sorted({int(port), int(server.get("admin_port", port))})
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []  # a hospital's, or damaged: FLARE says how
    return [("127.0.0.1" if name in ("localhost", "127.0.0.1") else "", port) for port in ports]


def require_free(host: str, port: int) -> None:
    """Check that no process listens at a port.

    gRPC binds a port even where another gRPC server has it, and each then gets some of the connections.

    Args:
        host: Address at which to listen; empty for all.
        port: TCP port.

    Raises:
        StartError: If it is taken, or can't be had by this account.
    """
    families = [(socket.AF_INET, host)] + ([(socket.AF_INET6, "")] if socket.has_ipv6 and not host else [])
    for family, address in families:
        try:
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((address, port))
                probe.listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise StartError(
                    f"port {port}, at which the server is to listen, is taken by another program of this "
                    f"machine{_owner(port)}",
                    f"Stop it (`ss -ltnp 'sport = :{port}'` names it), or provision with another "
                    "fed_learn_port and admin_port",
                ) from None
            if error.errno in (errno.EACCES, errno.EPERM):
                raise StartError(
                    f"this account may not listen at port {port} ({error.strerror})",
                    "Take a port from 1024 on",
                ) from None


def _owner(port: int) -> str:
    """Return the process that listens there, if visible to this account."""
    import psutil

    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr
            if listens and getattr(connection.laddr, "port", None) == port and connection.pid:
                return f" (process {connection.pid}, {psutil.Process(connection.pid).name()})"
    return ""


if __name__ == "__main__":
    sys.exit(main())
