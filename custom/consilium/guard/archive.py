"""Bounded reading of a job's archive in memory."""

from __future__ import annotations

import io
import re
import stat
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from consilium.counts import counted
from consilium.errors import JobRejected, RefusalCode

MAX_BYTES: Final = 1024 * 1024
"""Of a job's files together, before and after unpacking; the largest job of `jobs/` has 10 KB."""

MAX_ENTRIES: Final = 64
"""Files and folders of an archive; a signed job has twelve."""

_NAME: Final = re.compile(r"(?:[A-Za-z0-9_.-]+/)*[A-Za-z0-9_.-]+/?")
_ENCRYPTED: Final = 0x1
_SHOWN_CHARACTERS: Final = 80

UNREADABLE: Final = (
    BadZipFile, EOFError, LookupError, NotImplementedError, OSError, OverflowError, RuntimeError, ValueError,
    struct.error, zlib.error,
)  # fmt: skip
"""What reading an archive that somebody has made up can raise."""


def read_archive(archive: Path | bytes) -> dict[str, bytes]:
    """Return the content of every entry of a zip archive; a folder's name ends in `/`, its content is empty.

    Args:
        archive: The archive, or the file that holds it.

    Raises:
        JobRejected: If it is too large, packed or unpacked, can't be read, or has an entry that is not
            a plain file or folder, occurs twice, or has a name that leads elsewhere.
    """
    size = len(archive) if isinstance(archive, bytes) else archive.stat().st_size
    if size > MAX_BYTES:
        raise JobRejected(
            f"its archive has {counted(size, 'byte')}; at most {MAX_BYTES} are allowed",
            code=RefusalCode.JOB_ARCHIVE,
        )
    try:
        with ZipFile(io.BytesIO(archive) if isinstance(archive, bytes) else archive) as zipped:
            return dict(_read_entries(zipped))
    except UNREADABLE as error:
        raise JobRejected(
            f"its archive can't be read ({type(error).__name__})", code=RefusalCode.JOB_ARCHIVE
        ) from None


def check_size(size: int, entries: int, said: str) -> None:
    """Check the total size and number of a job's files.

    Args:
        size: Bytes of all of them together.
        entries: Number of files and folders.
        said: Beginning of the message.

    Raises:
        JobRejected: If there are more than `MAX_BYTES` or `MAX_ENTRIES`.
    """
    if size > MAX_BYTES or entries > MAX_ENTRIES:
        raise JobRejected(
            f"{said} {counted(size, 'byte')} in {counted(entries, 'file or folder', 'files and folders')}; "
            f"at most {MAX_BYTES} bytes in {MAX_ENTRIES} are allowed",
            code=RefusalCode.JOB_ARCHIVE,
        )


def _read_entries(zipped: ZipFile) -> Iterator[tuple[str, bytes]]:
    entries = zipped.infolist()
    size = sum(entry.file_size for entry in entries)
    check_size(size, len(entries), "it unpacks to")
    names = [entry.filename for entry in entries]
    for entry in entries:
        fault = _entry_fault(entry, names)
        if fault is not None:
            raise JobRejected(
                f"its entry {entry.filename[:_SHOWN_CHARACTERS]!a} {fault}", code=RefusalCode.JOB_ARCHIVE
            )
    left = MAX_BYTES
    for entry in entries:
        content = read_entry(zipped, entry, left)
        left -= len(content)
        if left < 0:
            raise JobRejected(
                f"it unpacks to more than the {MAX_BYTES} bytes that are allowed",
                code=RefusalCode.JOB_ARCHIVE,
            )
        yield entry.filename, content


def read_entry(zipped: ZipFile, entry: ZipInfo, most: int) -> bytes:
    """Return an entry's unpacked content, at most one byte beyond a limit.

    `ZipFile.read` believes the size that the archive states only after it has unpacked all there is: up to
    1 GiB of memory for each megabyte that it reads.

    Args:
        zipped: The archive.
        entry: One of its entries, of `is_safely_packed`.
        most: Bytes that are allowed.
    """
    with zipped.open(entry) as file:
        return file.read(most + 1)


def is_safely_packed(entry: ZipInfo) -> bool:
    """Return whether an entry is neither encrypted nor packed in a way that unpacks without limits."""
    return not entry.flag_bits & _ENCRYPTED and entry.compress_type in (ZIP_STORED, ZIP_DEFLATED)


def _entry_fault(entry: ZipInfo, names: list[str]) -> str | None:
    name = entry.filename
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if not _NAME.fullmatch(name) or {".", ".."} & set(name.split("/")) or name != entry.orig_filename:
        return "has a name other than of letters, digits, '_', '-' and '.'"
    if names.count(name) > 1 or (f"{name}/" in names):
        return "is there twice"
    if kind not in (0, stat.S_IFDIR if entry.is_dir() else stat.S_IFREG):
        return "is not a plain file or folder"
    if not is_safely_packed(entry):
        return "is packed in a way that FLARE does not use"
    if entry.is_dir() and entry.file_size:
        return "is a folder with content"
    return None
