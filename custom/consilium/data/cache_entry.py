"""Files of one preprocessed case in the cache, with checksums."""

import hashlib
import os
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, JsonValue

from consilium.data.case_preparation import PreparationSettings, Prepared
from consilium.data.file_content import SHORTAGES
from consilium.data.files import flush_folder, private_folder, private_opener
from consilium.data.sealed import read_sealed, write_sealed
from consilium.data.sources import FileIdentity, identify
from consilium.errors import DataError

ENTRY_VERSION: Final = 3
"""Raised when the files of an entry change their form, so that older ones are built again."""

NAME_BYTES: Final = 20
"""Of an entry's name; two hexadecimal digits each."""

META: Final = "meta.json"
PARTIAL: Final = ".partial"
"""What an entry's folder is called beside its name while it is written."""

_BLOCK_BYTES = 4 << 20

_verified: dict[Path, FileIdentity] = {}
"""Files whose content this process has compared with its checksum, as they were then."""


class DamagedEntry(DataError):
    """A missing or damaged file of a cache entry."""


class FileCheck(BaseModel):
    """Size in bytes and CRC-32 of a file of an entry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    crc32: int


class EntryMeta(BaseModel):
    """Description of an entry; written last, so an entry without it is incomplete.

    Attributes:
        labeled: Whether the target is among it.
        meta: What the format keeps beside the arrays.
        files: Its arrays.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    labeled: bool
    meta: dict[str, JsonValue]
    files: dict[str, FileCheck]


def entry_name(key: str, settings: PreparationSettings) -> str:
    """Name of the entry of a case: another content of its files, or other settings, give another one."""
    parts = (ENTRY_VERSION, key, settings.fingerprint())
    return hashlib.blake2b(repr(parts).encode(), digest_size=NAME_BYTES).hexdigest()


def entry_lock(entry: Path, *, wait: bool = True) -> FileLock:
    """The lock under which an entry is built and removed; it is beside the entries."""
    locks = private_folder(entry.parent / "locks")
    return FileLock(locks / f"{entry.name}.lock", timeout=-1 if wait else 0, mode=0o600)


def build_entry(entry: Path, make: Callable[[], Prepared], *, whole: Callable[[], bool]) -> None:
    """Build an entry under its lock beside its place, and rename it into it once it is on the disk.

    Two processes never build the same entry, none sees half of one, and after a crash of the machine there
    is all of it or none.

    Args:
        entry: Its folder.
        make: Preprocesses the case.
        whole: Whether the entry is there already; asked under the lock.

    Raises:
        CaseError: By `make`.
        OSError: The cache can't be written.
    """
    with entry_lock(entry):
        if whole():
            return
        prepared = make()
        partial = entry.with_suffix(PARTIAL)
        for leftover in (entry, partial):  # their process has ended: the lock is ours
            shutil.rmtree(leftover, ignore_errors=True)
        private_folder(partial)
        try:
            write_entry(partial, prepared)
            partial.rename(entry)
            flush_folder(entry.parent)
        except OSError:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def write_entry(folder: Path, case: Prepared) -> None:
    """Write the files of an entry into an empty folder; on return they have reached the disk.

    Raises:
        OSError: For example because the disk is full.
    """
    checks: dict[str, FileCheck] = {}
    for name, array in case.arrays.items():
        with open(folder / _file(name), "wb", opener=private_opener) as file:
            content = _Checked(file)
            np.save(content, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        checks[_file(name)] = FileCheck(size=content.size, crc32=content.crc32)
    meta = EntryMeta(labeled=case.labeled, meta=case.meta.model_dump(mode="json"), files=checks)
    write_sealed(folder / META, meta, durable=True)


def read_meta(entry: Path) -> EntryMeta | None:
    """Return the content list of an entry; None if it is absent, incomplete, or of wrong sizes."""
    meta = read_sealed(entry / META, EntryMeta)
    try:
        if meta and all((entry / name).stat().st_size == check.size for name, check in meta.files.items()):
            return meta
    except OSError:
        return None
    return None


def map_array(entry: Path, name: str) -> NDArray[Any]:
    """Map an array of an entry into memory, read-only, after its content was compared with its checksum.

    This process compares each file once, and again when its size, times or inode have changed.

    Raises:
        DamagedEntry: The file is gone, or not what was written.
        OSError: The machine has no more memory or file descriptors for now.
    """
    path = entry / _file(name)
    try:
        present = identify(path)
        if _verified.get(path) != present:
            _verify(entry, path.name)
            _verified[path] = present
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        if isinstance(error, OSError) and error.errno in SHORTAGES:
            raise
        raise DamagedEntry(f"{path.name} can no longer be read") from error
    return array


def _verify(entry: Path, name: str) -> None:
    meta = read_sealed(entry / META, EntryMeta)
    if meta is None or name not in meta.files:
        raise DamagedEntry(f"{META} is gone or damaged")
    crc32 = size = 0
    with (entry / name).open("rb", buffering=0) as file:
        while block := file.read(_BLOCK_BYTES):
            crc32, size = zlib.crc32(block, crc32), size + len(block)
    if FileCheck(size=size, crc32=crc32) != meta.files[name]:
        raise DamagedEntry(f"{name} is not what was written")


@dataclass
class _Checked:
    """A file being written, with the size and checksum so far."""

    file: BinaryIO
    size: int = 0
    crc32: int = 0

    def write(self, block: bytes) -> int:
        self.crc32 = zlib.crc32(block, self.crc32)
        self.size += len(block)
        return self.file.write(block)


def _file(name: str) -> str:
    return f"{name}.npy"
