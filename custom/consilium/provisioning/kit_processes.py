"""The processes of this machine that run from a startup kit, found by its folder on their command lines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from consilium.processes import stop_process_tree

_PARENT_MODULES = ("server_train", "client_train")
_SCRIPTS = ("startup/start.sh", "startup/sub_start.sh")


@dataclass(frozen=True)
class KitProcess:
    """A process of the server or of a hospital.

    Attributes:
        kit: The startup kit that it runs from, as it was asked for.
        pid: Process id.
        is_parent: Whether it is the lasting process, not that of a job or the script around.
        since: When it started; Unix time in seconds.
    """

    kit: Path
    pid: int
    is_parent: bool
    since: float

    @property
    def participant(self) -> str:
        """The name of the kit's folder, which is the participant's where nobody has renamed it."""
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
            if not _may_be_flare(line) or process.status() == psutil.STATUS_ZOMBIE:
                continue
            kit = _kit(line, Path(process.cwd()), folders)
            since = process.create_time()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if kit is not None:
            is_parent = any(module in " ".join(line) for module in _PARENT_MODULES)
            found.append(KitProcess(kit, process.pid, is_parent, since))
    return found


def stop_processes(processes: Iterable[KitProcess]) -> None:
    """End processes and all that they started."""
    # The scripts restart a parent that ends, so they are signaled first.
    stop_process_tree(*(one.pid for one in sorted(processes, key=lambda one: one.is_parent)))


def _may_be_flare(line: list[str]) -> bool:
    """Return whether a command line is FLARE's, and not that of somebody who reads a log."""
    return any(word.startswith("nvflare.") or word.endswith(_SCRIPTS) for word in line)


def _kit(line: list[str], started_in: Path, folders: dict[Path, Path]) -> Path | None:
    for word in line:
        if "/" not in word:
            continue
        path = (started_in / word).resolve()  # a kit may be reached by a link, or a script from its folder
        for folder, kit in folders.items():
            if path.is_relative_to(folder):
                return kit
    return None
