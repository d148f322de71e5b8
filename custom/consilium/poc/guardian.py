"""Watchdog process that stops a proof of concept whose command was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from consilium.data.files import private_folder, write_atomically

_ENDED_IN_ORDER: Final = b"ended"

_OWNER: Final = "command.pid"
"""File that says whose the processes in the folder are: those of the last command that was started there."""

_SECONDS_TO_START: Final = 15.0
"""How long FLARE's command, if it was starting processes just then, may still start more."""


@contextmanager
def ended_with_this_process(folder: Path) -> Iterator[None]:
    """Have another process end the proof of concept in a folder if this one is killed within the block.

    Its server and sites keep running after the command that starts them. Whatever else ends
    the block is up to this process.

    Args:
        folder: The proof of concept's.
    """
    private_folder(folder, ours=False)
    write_atomically(folder / _OWNER, str(os.getpid()).encode())
    guardian = subprocess.Popen(
        [sys.executable, "-m", "consilium.poc.guardian", str(folder), str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # it outlives a terminal that is closed
    )
    try:
        yield
    finally:
        with suppress(BrokenPipeError):
            guardian.communicate(_ENDED_IN_ORDER)


def main() -> None:
    """Wait for the end of the parent process, and stop what it left running."""
    if sys.stdin.buffer.read() == _ENDED_IN_ORDER:
        return
    from consilium.poc.command import PocError  # seldom needed, and slow to load
    from consilium.poc.federation import Poc

    folder, command = Path(sys.argv[1]), sys.argv[2]
    end = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < end and (folder / _OWNER).read_text() == command:
        with suppress(PocError):  # it had not got as far as that
            Poc(folder).end()
        time.sleep(1)
    os._exit(0)


if __name__ == "__main__":
    main()
