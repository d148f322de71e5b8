"""The processes of one POC workspace, found by the folder on their command lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from consilium.processes import stop_process_tree

_PARENT_MODULES = ("server_train", "client_train")
_SCRIPTS = ("/startup/start.sh", "/startup/sub_start.sh")


@dataclass(frozen=True)
class ParticipantProcess:
    """A process of the server or of a hospital.

    Attributes:
        participant: Whose it is.
        pid: Process id.
        is_parent: Whether it is the lasting process, not that of a job or the script around.
    """

    participant: str
    pid: int
    is_parent: bool


def find_processes(kits: Path, participants: Iterable[str]) -> list[ParticipantProcess]:
    """Return the processes that were started from participants' kits, those of crashed parents included.

    A user's console is started from a user's kit and is not among them.

    Args:
        kits: The folder with one kit for each participant.
        participants: Whose processes to look for.
    """
    folders = {str(kits.resolve() / name): name for name in participants}
    return [
        ParticipantProcess(owner, pid, any(module in " ".join(line) for module in _PARENT_MODULES))
        for pid, line in _command_lines()
        if (owner := _owner(line, folders))
    ]


def stop_processes(processes: Iterable[ParticipantProcess]) -> None:
    """End processes and all that they started."""
    # The scripts restart a parent that ends, so they are signalled first.
    stop_process_tree(*(one.pid for one in sorted(processes, key=lambda one: one.is_parent)))


def _owner(line: list[str], folders: dict[str, str]) -> str | None:
    if not any(word.startswith("nvflare.") or word.endswith(_SCRIPTS) for word in line):
        return None  # somebody reads a log
    for word in line:
        for folder, name in folders.items():
            if word == folder or word.startswith(f"{folder}/"):
                return name
    return None


def _command_lines() -> Iterator[tuple[int, list[str]]]:
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                yield process.pid, process.cmdline()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
