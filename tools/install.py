"""Install Consilium into the virtual environment that runs this, and say how far that is: `make install`.

Needs nothing but Python: whatever pip says goes to a log, and what it is doing to one line.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOG = Path(sys.prefix) / "install.log"
PIP = ("-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off")
SECONDS_BETWEEN_LINES = 15
SHOWN_OF_A_FAILURE = 15

_SIZE = re.compile(r"\(([\d.]+) (kB|MB|GB)\)")
_MEGABYTES = {"kB": 0.001, "MB": 1.0, "GB": 1000.0}


def main() -> int:
    """Run pip; returns its exit code."""
    packages = sum(line[:1].isalpha() for line in (ROOT / "constraints.txt").read_text().splitlines())
    print(
        f"installing Consilium and about {packages} packages into {sys.prefix}: torch takes some 200 MB "
        "(its CUDA build 2 GB or more), all together 2 GB of disk or more. A few minutes on a fast line; "
        "what pip says goes to " + str(LOG),
        flush=True,
    )
    progress = Progress()
    line = [sys.executable, *PIP, "-c", "constraints.txt", "-e", ".[dev]"]
    with (
        LOG.open("w", encoding="utf-8") as log,
        subprocess.Popen(
            line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as pip,
    ):
        assert pip.stdout is not None
        for said in pip.stdout:
            log.write(said)
            log.flush()
            progress.take(said)
    if pip.returncode:
        progress.end("not installed; pip's last words:")
        print("".join(LOG.read_text(encoding="utf-8").splitlines(keepends=True)[-SHOWN_OF_A_FAILURE:]))
        print(f"the whole of it: {LOG}. The same command tries again", flush=True)
    else:
        progress.end("installed")
    return pip.returncode


class Progress:
    """One line about what pip does: it moves on a terminal, and comes now and then anywhere else."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()
        self._megabytes = 0.0
        self._found: set[str] = set()
        self._ended = threading.Event()

    def take(self, said: str) -> None:
        """Read one of pip's lines."""
        word, _, rest = said.strip().partition(" ")
        if word == "Collecting":
            self._found.add(re.split(r"[^\w.-]", rest)[0])
        size = _SIZE.search(rest)
        if word == "Downloading" and size:
            self._megabytes += float(size[1]) * _MEGABYTES[size[2]]
        if word == "Installing" and rest.startswith("collected"):
            packages = rest.count(",") + 1
            self._show(f"unpacking {packages} packages, some minutes", now=True)
            threading.Thread(target=self._watch_unpacking, args=(packages,), daemon=True).start()
        elif word in ("Collecting", "Downloading"):
            self._show(f"{len(self._found)} packages found, {self._megabytes:.0f} MB downloaded")

    def _watch_unpacking(self, packages: int) -> None:
        """Count what lies there, as pip says nothing until it is through."""
        folder = Path(sysconfig.get_path("purelib"))
        at_first = sum(1 for _ in folder.glob("*.dist-info"))
        while not self._ended.wait(SECONDS_BETWEEN_LINES):
            unpacked = sum(1 for _ in folder.glob("*.dist-info")) - at_first
            self._show(f"unpacked {max(unpacked, 0)} of {packages} packages", now=True)

    def end(self, word: str) -> None:
        """Say how it ended."""
        self._ended.set()
        minutes, seconds = divmod(round(time.monotonic() - self._began), 60)
        self._print(f"{word} after {minutes}:{seconds:02d}", stays=True)

    def _show(self, line: str, *, now: bool = False) -> None:
        if sys.stdout.isatty() or now or time.monotonic() - self._last > SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            self._print(line, stays=not sys.stdout.isatty())

    def _print(self, line: str, *, stays: bool) -> None:
        clear = "\r\x1b[2K" if sys.stdout.isatty() else ""
        print(f"{clear}{line}", end="\n" if stays else "", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nstopped; the same command continues with what was downloaded", flush=True)
        sys.exit(130)
