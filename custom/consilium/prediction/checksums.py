"""Checksums of a bundle's files, as `sha256sum -c` reads them."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from consilium.errors import DataError
from consilium.learning.model_store import digest_of_file

MODELS: Final = "models"
"""Folder of a bundle's weights."""

CHECKSUMS: Final = "checksums.sha256"
"""Name of the file in the bundle's folder."""

_LONGEST: Final = 1 << 20


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 as hexadecimal digits."""
    return digest_of_file(path).rpartition(":")[2]


def list_checksums(folder: Path) -> str:
    """Return a line for each file below a folder, but for the list itself."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CHECKSUMS)
    return "".join(f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)


def unlisted_files(folder: Path) -> list[str]:
    """Return what is in a bundle's folder beside the files of its list, but for what Python compiles.

    Raises:
        DataError: The list can't be read.
    """
    listed = {line.partition("  ")[2] for line in _lines(folder / CHECKSUMS)} | {CHECKSUMS}
    there = [path.relative_to(folder) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    own = [one.as_posix() for one in there if "__pycache__" not in one.parts]
    return sorted(one for one in own if one not in listed)


def require_checksum(path: Path, digest: str) -> None:
    """Compare a model's file with the checksums of the bundle that it is in, if it is in one.

    Args:
        path: The file, `models/...` in a bundle.
        digest: Its SHA-256.

    Raises:
        DataError: The bundle's list has another checksum for it, or none.
    """
    folder = path.absolute().parent.parent
    listed = folder / CHECKSUMS
    if path.absolute().parent.name != MODELS or not os.path.lexists(listed):
        return
    name = path.absolute().relative_to(folder).as_posix()
    if f"{digest}  {name}" not in _lines(listed):
        raise DataError(
            f"{path} is not the file that {listed} lists; get the bundle again, or write it again with "
            "`consilium bundle`"
        )


def _lines(listed: Path) -> list[str]:
    try:
        if not listed.is_file():
            raise OSError(errno.EINVAL, "it is no file")
        with listed.open(encoding="utf-8", errors="replace") as file:
            return file.read(_LONGEST).splitlines()
    except OSError as error:
        raise DataError(f"{listed} can't be read ({error.strerror}); get the bundle again") from None
