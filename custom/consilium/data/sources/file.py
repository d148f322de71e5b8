"""A file of the hospital: its content, and its identity without reading it."""

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from consilium.data.codes import DataCode
from consilium.data.file_content import MAX_FILE_BYTES, UnusableFile, open_file, require_content, unusable

DIGEST_BYTES: Final = 20
"""Of the hash of a file's content; two hexadecimal digits each."""

_CLOCK_MARGIN_NS: Final = 4_000_000_000
"""FAT counts its times in steps of 2 s, and the clocks of a file server and this machine differ a little."""


class FileIdentity(BaseModel):
    """Identity of a file, which changes when it is written or replaced.

    A program can set the time of the last write back, for example `cp -p`; the time of the last change of the
    inode it can't set. The device is left out: it changes when a network drive is mounted again.

    Attributes:
        inode: Number of the file on its disk.
        size: Bytes.
        mtime_ns: Last write, in ns since the epoch.
        ctime_ns: Last change of content, name or permissions, in ns since the epoch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "FileIdentity":
        """The identity in what `stat` returns."""
        return cls(
            inode=status.st_ino,
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            ctime_ns=status.st_ctime_ns,
        )


@dataclass(frozen=True)
class SourceContent:
    """Result of one reading of a file.

    Args:
        data: The content.
        digest: Hash of the content, 40 hexadecimal digits.
        identity: Of the file as it was read; None where a later change could look the same: the file was
            written within the clock's resolution of being read, or while it was read.
    """

    data: bytes
    digest: str
    identity: FileIdentity | None


def identify(path: Path) -> FileIdentity:
    """The identity of a file as it is now.

    Raises:
        OSError: It is absent or can't be reached.
    """
    return FileIdentity.of(path.stat())


def read_source(path: Path) -> SourceContent:
    """Read a file of the hospital whole; nothing else does.

    Raises:
        UnusableFile: It can't be read, is larger than any image, empty, or holds a pointer to its content.
    """
    with open_file(path) as file:
        try:
            started = time.time_ns()
            before = FileIdentity.of(os.fstat(file.fileno()))
            if before.size > MAX_FILE_BYTES:
                raise UnusableFile(DataCode.TOO_LARGE, f"has more than {MAX_FILE_BYTES} bytes")
            data = file.read()
            after = FileIdentity.of(os.fstat(file.fileno()))
        except OSError as error:
            raise unusable(path, error) from error
    require_content(data)
    settled = before == after and started - max(before.mtime_ns, before.ctime_ns) > _CLOCK_MARGIN_NS
    digest = hashlib.blake2b(data, digest_size=DIGEST_BYTES).hexdigest()
    return SourceContent(data, digest, after if settled else None)
