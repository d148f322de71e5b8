"""Private folder for sockets, whose paths are limited to about 100 bytes."""

from __future__ import annotations

import os
import shutil
import tempfile
from multiprocessing.util import get_temp_dir
from pathlib import Path
from typing import Final

from consilium.counts import counted
from consilium.errors import ConfigurationError

LONGEST_PATH: Final = 100
"""Bytes of a socket's path: Linux takes 107, macOS 103."""

_LONGEST_NAME: Final = 26
"""Bytes of a socket's name with its slash: ours, and multiprocessing's `listener-` with 8 letters."""

_SUBFOLDER: Final = 14
"""The same of the folder that is made: `pymp-` with 8 letters."""

_SHORT_FOLDERS: Final = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - a private folder is made below it


def socket_folder() -> Path:
    """Return this process's folder for sockets, below `TMPDIR` or, where that is too long, a shorter one.

    It is multiprocessing's own, so the processes that load samples hand them over there as well. Only this
    account can open it, and it is removed when this process ends. Nothing but sockets belongs there.

    Raises:
        ConfigurationError: If no folder for temporary files is short enough and can be written to.
    """
    folder = Path(get_temp_dir() if _fits(tempfile.gettempdir()) else _make_short())
    if len(os.fsencode(folder)) + _LONGEST_NAME > LONGEST_PATH:
        raise ConfigurationError(_too_long(str(folder.parent)))
    return folder


def remove_socket_folder() -> None:
    """Remove this process's folder, where the process ends without its usual farewell."""
    shutil.rmtree(get_temp_dir(), ignore_errors=True)


def _make_short() -> str:
    before = tempfile.gettempdir()
    short = next((one for one in _SHORT_FOLDERS if os.access(one, os.W_OK | os.X_OK)), None)
    if short is None:
        raise ConfigurationError(_too_long(before))
    tempfile.tempdir = short
    try:
        return str(get_temp_dir())  # it remembers the folder that it makes
    finally:
        tempfile.tempdir = before


def _fits(folder: str) -> bool:
    return len(os.fsencode(folder)) + _SUBFOLDER + _LONGEST_NAME <= LONGEST_PATH


def _too_long(folder: str) -> str:
    most = LONGEST_PATH - _SUBFOLDER - _LONGEST_NAME
    return (
        f"TMPDIR {folder} has {counted(len(os.fsencode(folder)), 'byte')}, and training processes need one "
        "of at "
        f"most {most} for their sockets; none of {', '.join(_SHORT_FOLDERS)} can be written to instead. "
        "Start the site with a shorter TMPDIR."
    )
