"""Processes of this machine that run from a startup kit, found by their command lines."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from consilium.processes import stop_process_tree

LOCK_FILE: Final = "consilium.lock"
"""In a kit's workspace; says who took it last, for people."""

LASTING_MODULES: Final = (
    "nvflare.private.fed.app.server.server_train",
    "nvflare.private.fed.app.client.client_train",
)
"""What Python runs in the parent process of the server or of a site."""

_LOGGER = logging.getLogger(__name__)
_STARTUP = "startup"
_JOB_MODULES = (".worker_process", ".runner_process")
_SCRIPTS = (f"{_STARTUP}/start.sh", f"{_STARTUP}/sub_start.sh")
_INTERPRETERS = ("python", "bash", "sh")
_FLARE = "nvflare.private.fed.app."
_WORKSPACE_OPTION = "-m"


@dataclass(frozen=True)
class KitProcess:
    """A process of the server or of a hospital.

    Attributes:
        kit: The startup kit that it runs from, as it was asked for.
        pid: Process id.
        is_parent: Whether it is the parent process, not that of a job or the script around.
        since: When it started; Unix time in seconds.
        is_job: Whether it is a job's.
    """

    kit: Path
    pid: int
    is_parent: bool
    since: float
    is_job: bool = False

    @property
    def participant(self) -> str:
        """The name of the kit's folder, which is the participant's unless it was renamed."""
        return self.kit.name


def find_processes(*kits: Path) -> list[KitProcess]:
    """Return the processes that were started from startup kits, those of crashed parents included.

    A user's console is started from a user's kit and is not among them, and neither is what runs in a
    container or on another machine.

    Args:
        kits: Folders with `startup/` and `local/`.
    """
    folders = {kit.resolve(): kit for kit in kits}
    found = []
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
            place = _started_from(line)
            if place is None or process.status() == psutil.STATUS_ZOMBIE:
                continue
            # A kit may be reached by a link, or a script from its folder.
            folder = (Path(process.cwd()) / place).resolve()
            kit = folders.get(folder)
            if kit is None or process.uids().real not in _owners(folder):
                continue
            since = process.create_time()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        is_parent = any(word in LASTING_MODULES for word in line)
        is_job = any(word.startswith(_FLARE) and word.endswith(_JOB_MODULES) for word in line)
        found.append(KitProcess(kit, process.pid, is_parent, since, is_job))
    return found


def stop_processes(processes: Iterable[KitProcess]) -> None:
    """End processes and all that they started."""
    # The scripts restart a parent that ends, so they are signaled first.
    stop_process_tree(*(one.pid for one in sorted(processes, key=lambda one: one.is_parent)))


def end_orphans(workspace: Path) -> None:
    """End processes of jobs that an earlier parent process of a kit has left.

    FLARE's look for their parent only once they have loaded everything, and one whose parent had ended by
    then stays forever: it and the job's new process take the connection to the server from each other.

    Args:
        workspace: Of the kit, whose lock the caller has just taken: it has no job yet, so each process of a
            job that is found is such a one.
    """
    for one in find_processes(workspace):
        if not one.is_job:
            continue
        try:
            stop_process_tree(one.pid)
        except psutil.AccessDenied:
            _LOGGER.warning(
                "Process %d, left by an earlier start's job, belongs to another account: end it", one.pid
            )
        else:
            _LOGGER.warning("Ended process %d, left by an earlier start's job.", one.pid)


def _started_from(line: list[str]) -> Path | None:
    """Return the kit's folder by a command line; None if it is not FLARE's nor a kit's script.

    An editor of a script, or a search for FLARE's names in a log, has the same words on its command line.
    """
    if not line or not Path(line[0]).name.startswith(_INTERPRETERS):
        return None
    for place, word in enumerate(line):
        rest = line[place + 1 :]
        if word.startswith(_FLARE) and _WORKSPACE_OPTION in rest[:-1]:
            return Path(rest[rest.index(_WORKSPACE_OPTION) + 1])
        script = Path(word)
        if word.endswith(_SCRIPTS) and script.parent.name == _STARTUP:
            return script.parent.parent
    return None


def _owners(kit: Path) -> set[int]:
    """Return accounts whose processes may belong to a kit."""
    found = {0, os.geteuid()}
    for path in (kit, kit / LOCK_FILE):
        with suppress(OSError):
            found.add(path.stat().st_uid)
    return found
