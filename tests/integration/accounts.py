"""The other accounts of a machine: what `nobody` can open, and what the modes would let anybody do."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

NO_OTHER_ACCOUNT = (
    None if sys.platform == "linux" and os.geteuid() == 0 else "needs root on Linux, to act as account nobody"
)
"""Why this process can't act as another account; None if it can."""

_AS_NOBODY = """
import json, os, resource, sys
request = json.load(sys.stdin)
limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
links = os.open(request["links"], os.O_PATH)
# A handle that is good for nothing but to start from: every folder is tried by itself, whatever lies above.
folders = {path: os.open(path, os.O_PATH | os.O_DIRECTORY) for path in request["folders"]}
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
def tries(name, flags, at):
    try:
        os.close(os.open(name, flags, dir_fd=at))
    except PermissionError:
        return False
    return True
opened = [path for path, at in folders.items() if tries(".", os.O_RDONLY, at)]
for link, path in request["files"].items():
    if tries(link, os.O_RDONLY, links) or tries(link, os.O_WRONLY, links):
        opened.append(path)
json.dump(opened, sys.stdout)
"""


def everything_in(folder: Path) -> list[Path]:
    """Return a folder and all below it; links lead elsewhere, and are left out."""
    below = [Path(place) / name for place, folders, files in os.walk(folder) for name in (*folders, *files)]
    return [path for path in (folder, *below) if not path.is_symlink()]


def open_to_others(paths: Iterable[Path]) -> dict[str, str]:
    """Return what other accounts have any right to by its own mode, with that mode."""
    found = {}
    for path in paths:
        with suppress(FileNotFoundError):  # it has just been removed
            mode = path.lstat().st_mode
            if mode & 0o077:
                found[str(path)] = oct(mode)
    return found


class Watch:
    """Looks at folders again and again while something is written to them.

    Args:
        folders: The folders.

    Attributes:
        names: Of all files and folders that were ever there.
        open: What was ever open to others, with its mode.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = list(folders)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.names: set[str] = set()
        self.open: dict[str, str] = {}

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(0.1):
            paths = [path for folder in self._folders for path in everything_in(folder)]
            self.names |= {path.name for path in paths}
            self.open |= open_to_others(paths)


def opened_by_nobody(paths: Iterable[Path]) -> list[str]:
    """Let account `nobody` open folders and files, each as if everybody could come to it.

    Folders above would hide what is open below, pytest's own among them. So a folder is tried from a handle
    on it, and a file by a second name in a folder that everybody can enter.
    """
    paths = list(paths)
    folders = [path for path in paths if path.is_dir()]
    files = [path for path in paths if path.is_file()]
    with tempfile.TemporaryDirectory(dir=paths[0].parent) as links:
        Path(links).chmod(0o755)
        names = {}
        for number, path in enumerate(files):
            os.link(path, Path(links) / str(number))
            names[str(number)] = str(path)
        request = {"links": links, "folders": list(map(str, folders)), "files": names}
        done = subprocess.run(
            [sys.executable, "-c", _AS_NOBODY], input=json.dumps(request),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))
