"""Press Ctrl-C as a terminal does."""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from consilium.processes import stop_process_tree
from waiting import DEADLINE_SECONDS

from .studies import ENVIRONMENT


@contextmanager
def started(words: Sequence[str], log: Path) -> Iterator[subprocess.Popen]:
    """Start a command in a process group of its own, as a shell does; its standard error goes to a file."""
    with log.open("w") as stderr:
        process = subprocess.Popen(
            words,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env=ENVIRONMENT,
            start_new_session=True,
            preexec_fn=_hear_signals,
        )
    try:
        yield process
    finally:
        stop_process_tree(process.pid)
        process.wait(DEADLINE_SECONDS)


def _hear_signals() -> None:
    """Tests inherit that interrupts are ignored in a shell's background, and hang-ups below `nohup`."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def press_ctrl_c(process: subprocess.Popen) -> tuple[int, list[psutil.Process]]:
    """Interrupt a command as a terminal does; returns its exit code and all that it had started."""
    descendants = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    return process.wait(DEADLINE_SECONDS), descendants


def processes_of(out: Path) -> list[psutil.Process]:
    """Return the processes that name something in a folder on their command line."""
    found = []
    for one in psutil.process_iter():
        with suppress(psutil.Error):
            if str(out) in " ".join(one.cmdline()):
                found.append(one)
    return found


def is_running(process: psutil.Process) -> bool:
    """Return whether a process does anything still; one that has ended may wait to be collected."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
