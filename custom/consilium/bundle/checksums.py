"""Checksums of a bundle's files, as `sha256sum -c` reads them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

CHECKSUMS: Final = "checksums.sha256"
"""Name of the file in the bundle's folder."""


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 as hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def list_checksums(folder: Path) -> str:
    """Return a line for each file below a folder, but for the list itself."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CHECKSUMS)
    return "".join(f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)
