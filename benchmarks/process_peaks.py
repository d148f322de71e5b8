"""Peaks of memory and threads of running processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass
class Peak:
    """What a process took at most.

    Attributes:
        mib: Of resident memory.
        threads: Seen at once.
    """

    mib: float = 0.0
    threads: int = 0

    def note(self, process: psutil.Process) -> None:
        """Look at a process, which may have ended."""
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError, KeyError):
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            values = dict(line.split(":", 1) for line in lines if ":" in line)
            self.mib = max(self.mib, int(values["VmHWM"].split()[0]) / 1024)
            self.threads = max(self.threads, int(values["Threads"]))


def processes_running(module: str, folder: Path) -> Iterator[psutil.Process]:
    """Yield the Python processes that run a module out of a folder."""
    for one in psutil.process_iter(["cmdline"]):
        words = one.info["cmdline"] or []
        if any(word.endswith(f".{module}") for word in words) and str(folder) in words:
            yield one


def together(peaks: dict[str, Peak]) -> Peak:
    """Return what several processes take together, at most: their peaks need not be at the same time."""
    return Peak(sum(one.mib for one in peaks.values()), sum(one.threads for one in peaks.values()))


def describe(peaks: dict[str, Peak]) -> str:
    """Return peaks as one line."""
    return ", ".join(f"{name} {peak.mib:.0f} MiB and {peak.threads} threads" for name, peak in peaks.items())
