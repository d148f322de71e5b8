"""Lock of a workspace: only one start of a kit works in it at any time.

The operating system keeps it for as long as a process of that start lives, whatever ends it: no lock is ever
stale. It is taken on a file (`flock`), so it holds between containers of one machine as well, and on NFS
between machines.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final

from consilium.errors import ConfigurationError
from consilium.guard.kit_processes import LASTING_MODULES, LOCK_FILE, end_orphans
from consilium.records.texts import clean_text

DESCRIPTOR_VARIABLE: Final = "CONSILIUM_LOCK_DESCRIPTOR"
"""Environment variable by which the start script says under which number the process inherits the lock."""

STATE_FILES: Final = ("daemon_pid.fl", "pid.fl", "shutdown.fl", "restart.fl")
"""What FLARE's scripts note in the workspace of what runs. Left by a start that was killed, these files name
processes that are others' by now, and can stop or prevent the next start."""

_TAKEN: Final = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


class StartError(ConfigurationError):
    """A kit that can't be started in its folder.

    Args:
        fault: What is wrong.
        remedy: What to do about it.
    """

    def __init__(self, fault: str, remedy: str) -> None:
        super().__init__(f"{fault}. {remedy}")
        self.fault = fault
        self.remedy = remedy


class WorkspaceIsTaken(StartError):
    """A workspace in use by another start of the kit."""


class WorkspaceLock:
    """Holds the lock of this process's workspace until the process ends.

    The start script takes it before it starts FLARE, keeps it while it restarts a process that died, and
    hands it on. Where there is no such script, as in containers, the parent process takes it itself.
    """

    _held: ClassVar[int | None] = None

    @classmethod
    def hold(cls) -> None:
        """Take the lock in the parent process of a site or of the server; a job's process has no part in it.

        What an earlier parent process has left of its jobs is ended.

        Raises:
            WorkspaceIsTaken: If another start works here.
        """
        if cls._held is not None or not _is_parent_process():
            return
        workspace = Path.cwd()  # where FLARE changes to before it builds anything
        inherited = os.environ.pop(DESCRIPTOR_VARIABLE, "")
        descriptor = int(inherited) if inherited.isdigit() else -1
        if not _is_open_on(descriptor, workspace / LOCK_FILE):
            descriptor = open_lock(workspace)
        os.set_inheritable(descriptor, False)
        is_locked = take(descriptor, workspace)
        cls._held = descriptor
        if is_locked:
            end_orphans(workspace)


def open_lock(workspace: Path) -> int:
    """Return a descriptor of a workspace's lock file, which is made where it is missing.

    Raises:
        StartError: If it can't be opened, or is a link: what it leads to would be overwritten.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(workspace / LOCK_FILE, flags, 0o600)
    except OSError as error:
        raise StartError(
            f"{workspace / LOCK_FILE} can't be opened ({error.strerror})",
            "Start a kit with the account that owns it, from a folder that it can write to, and remove a "
            "link of that name",
        ) from None


def take(descriptor: int, workspace: Path, *, holder: int | None = None, says_who: bool = True) -> bool:
    """Take the lock for as long as the descriptor, or a copy of it, is open in any process.

    Args:
        descriptor: Of the lock file, open for writing.
        workspace: The folder that it locks.
        holder: Process that holds it, if that is not this one.
        says_who: Write into the file who holds it, for people.

    Returns:
        False where the file system locks no files: a second start goes unnoticed there.

    Raises:
        WorkspaceIsTaken: If another start holds it.
        StartError: If the descriptor is not of the workspace's own plain file.
    """
    if not _is_plain_file(descriptor, workspace / LOCK_FILE):
        raise StartError(
            f"{workspace / LOCK_FILE} is a link or no plain file", "Remove it, and start the kit again"
        )
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _TAKEN:
            return False
        raise WorkspaceIsTaken(
            f"this kit runs already, from {workspace}: {describe_holder(workspace)}",
            f"A kit runs once. To restart it, first stop it where it runs: consilium site stop {workspace}",
        ) from None
    if not says_who:
        return True
    said = {"host": socket.gethostname(), "process": holder or os.getpid(), "since": time.time()}
    with suppress(OSError):  # a full disk keeps nobody from working
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(said).encode(), 0)
    return True


def describe_holder(workspace: Path) -> str:
    """Return which process holds the lock, where, and since when."""
    try:
        said = json.loads((workspace / LOCK_FILE).read_text())
        host, process = clean_text(str(said["host"])), int(said["process"])
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(said["since"])))
    except (OSError, ValueError, OverflowError, RecursionError, KeyError, TypeError):
        who = "another process"
    else:
        place = "this machine" if host == socket.gethostname() else f"the machine or container {host}"
        who = f"process {process} of {place}, since {since}"
    return who


def _is_parent_process() -> bool:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name in LASTING_MODULES


def _is_open_on(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except (OSError, OverflowError):
        return False


def _is_plain_file(descriptor: int, file: Path) -> bool:
    """Return whether a descriptor is of a file itself, and of no link to another: it is written to."""
    try:
        opened, there = os.fstat(descriptor), file.lstat()
    except (OSError, OverflowError):
        return False
    return stat.S_ISREG(there.st_mode) and there.st_nlink <= 1 and os.path.samestat(opened, there)
