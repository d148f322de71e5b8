"""Signals and child processes: ending a program together with all that it has started."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from importlib.machinery import all_suffixes
from multiprocessing.connection import wait
from pathlib import Path
from typing import IO, Any, Final

import psutil

from consilium.errors import ConfigurationError

_ENDS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ends a command: Ctrl-C, `kill`, `timeout`, Slurm or systemd, a terminal that is closed."""

_SECONDS_TO_END = 5.0
_threads_stay: Final = threading.Event()
_SAFE_PATH: Final = "PYTHONSAFEPATH"

MOST_WORKERS: Final = 64
"""Of a pool on a machine with fewer cores: all of them start at once, each with its own copy of torch."""


def keep_new_files_private() -> None:
    """Set this process's umask to 077: what it and its child processes create is closed to other accounts.

    It changes the whole process, so it is for the entry point of one, never for a library call.
    """
    os.umask(stat.S_IRWXG | stat.S_IRWXO)


def interrupt_on_termination() -> None:
    """Handle termination signals like Ctrl-C, so that started processes are stopped."""
    for number in _ENDS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` means it
            signal.signal(number, signal.default_int_handler)


@contextmanager
def ignore_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C and termination signals within a block."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_threads_behind() -> None:
    """Let `end_program` end this process although threads run that nothing can end, as a FLARE session's."""
    _threads_stay.set()


def end_program(code: int) -> None:
    """End this process at once where threads were left behind, which Python would wait for; else return.

    A command that has printed its result may otherwise run on for ever: FLARE's client leaves threads that
    now and then miss the end of their session.
    """
    if not _threads_stay.is_set():
        return
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a reader that is gone, a stream that is closed
            stream.flush()
    os._exit(code)


def stop_process_tree(*pids: int) -> None:
    """End processes and all their descendants, by their ids."""
    processes: dict[int, psutil.Process] = {}
    for pid in pids:
        try:
            root = psutil.Process(pid)
            for process in (*root.children(recursive=True), root):
                processes.setdefault(process.pid, process)
        except psutil.NoSuchProcess:
            continue
    end_processes(list(processes.values()))


def end_processes(
    processes: Sequence[psutil.Process], seconds: float = _SECONDS_TO_END
) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """End processes together: SIGTERM first, then SIGKILL for those that still run.

    Args:
        processes: The processes; their descendants are left alone.
        seconds: How long each signal may take.

    Returns:
        Those that had to be killed, and those of them that still run.

    Raises:
        psutil.AccessDenied: If one belongs to another account.
    """
    for process in processes:
        _signal(process, kill=False)
    killed = _wait(processes, seconds)
    for process in killed:
        _signal(process, kill=True)
    return killed, _wait(killed, seconds)


def is_running(process: psutil.Process) -> bool:
    """Return whether a process still runs; one that has ended may be waiting to be collected."""
    try:
        return process.is_running() and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def end_with_parent(parent: IO[Any]) -> None:
    """End this process, with all that it has started, as soon as the one that started it has ended.

    The system closes its end of the pipe however it ends.

    Args:
        parent: Pipe from the process that started this one, read up to where nothing more is written; it
            keeps its end open as long as this process shall run.
    """
    descriptor = parent.fileno()  # the file object's lock would be held while Python shuts down

    def watch() -> None:
        while os.read(descriptor, 1024):
            pass
        _end_at_once()

    threading.Thread(target=watch, name="end with parent", daemon=True).start()


@contextmanager
def worker_pool(
    workers: int, initializer: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """Run functions in processes that end with this one, and that Ctrl-C reaches through it alone.

    A terminal interrupts workers together with the process that started them, and `timeout` ends the whole
    group. The workers would print a traceback each and break the pool, while it is the process that started
    them that ends them. Processes are spawned, not forked: a fork copies the locks of threads that torch or
    BLAS may be running. So a script must guard its entry point with `if __name__ == "__main__":`.

    Args:
        workers: Processes; more than `MOST_WORKERS` and than there are cores are not started.
        initializer: Called in each of them first.
        arguments: Its arguments.

    Raises:
        ConfigurationError: See `require_no_module_of_pythons_own`; under Python 3.10 only.

    Yields:
        The pool. Workers start when the first functions are submitted: do that in `defer_interrupts`.
    """
    with (
        _import_nothing_from_the_current_folder(),
        ProcessPoolExecutor(
            min(workers, max(MOST_WORKERS, os.cpu_count() or 1)),
            multiprocessing.get_context("spawn"),
            initializer=_prepare_worker,
            initargs=(initializer, arguments),
        ) as pool,
    ):
        yield pool


@contextmanager
def _import_nothing_from_the_current_folder() -> Iterator[None]:
    """Keep Python processes that start within a block from importing modules of the current folder.

    A spawned process begins as `python -c`, which looks there first: it may be a bundle from elsewhere.
    Python 3.10 doesn't know the setting. There, only modules of Python's own are looked for there, before
    the process has its parent's path, so nothing starts in a folder that has one.

    Raises:
        ConfigurationError: If Python 3.10 would import a module of the current folder.
    """
    if sys.version_info < (3, 11):
        require_no_module_of_pythons_own(Path.cwd())
    before = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SAFE_PATH]
        else:
            os.environ[_SAFE_PATH] = before


def require_no_module_of_pythons_own(folder: Path) -> None:
    """Raise if a folder has a module with the name of one of Python's own, such as `random.py`.

    Raises:
        ConfigurationError: It has one.
    """
    endings = tuple(all_suffixes())
    packages = (path.parent for ending in endings for path in folder.glob(f"*/__init__{ending}"))
    modules = (path for path in folder.iterdir() if path.name.endswith(endings))
    for path in (*modules, *packages):
        if path.name.partition(".")[0] in sys.stdlib_module_names:
            raise ConfigurationError(
                f"The current folder has {path.name!r}, which Python 3.10 would run in place of its own "
                "module; call the command in another folder, or with Python 3.11 or later."
            )


@contextmanager
def defer_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back until the end of the context; processes started in it never see one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, set(_ENDS))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _prepare_worker(initializer: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_soon)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP, signal.SIGTERM})
    threading.Thread(target=_end_with_parent, name="end with parent", daemon=True).start()
    if initializer is not None:
        initializer(*arguments)


def _end_soon(number: int, frame: object) -> None:
    """Leave the process that started this one some time to end it in order."""
    timer = threading.Timer(_SECONDS_TO_END, os._exit, (1,))
    timer.daemon = True
    timer.start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        _end_at_once()


def _end_at_once() -> None:
    for process in psutil.Process().children(recursive=True):
        _signal(process, kill=True)
    os._exit(1)


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        if kill:
            process.kill()
        else:
            process.terminate()
    except psutil.NoSuchProcess:
        return


def _wait(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Return which of the processes still run after some time at most."""
    end = time.monotonic() + seconds
    while (alive := [one for one in processes if is_running(one)]) and time.monotonic() < end:
        psutil.wait_procs(alive, timeout=0.1)
    return alive
