"""Content of a file, compressed or not, or the reason why it has none."""

from __future__ import annotations

import errno
import stat
import zlib
from pathlib import Path
from typing import BinaryIO, Final

from consilium.counts import counted
from consilium.data.codes import DataCode
from consilium.data.files import readable
from consilium.data.problem_code import ProblemCode
from consilium.errors import DataError

SHORTAGES: Final = (errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""What the machine lacks for a while, memory or free file descriptors; a file is not lost by it."""

MAX_FILE_BYTES: Final = 2**32
"""Bytes of a file's content at most, decompressed."""

GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_FORMAT = 31  # zlib's `wbits`: a gzip header, and its checksum verified
_CHUNK_BYTES = 1 << 16
_PIECE_BYTES = 1 << 24
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_ANNEX_POINTER = b"/annex/objects/"
_POINTER_BYTES = 1 << 15


class UnusableFile(DataError):
    """An unusable file.

    Args:
        code: What is wrong with it.
        detail: What was seen, as it follows the file's name: `holds 40 bytes ...`, without a full stop.
    """

    def __init__(self, code: ProblemCode, detail: str) -> None:
        super().__init__(readable(f"The file {detail}. {code.remedy}"))
        self.code = code
        self.detail = detail


class FileContent:
    """The content of a file, read sequentially and decompressed on demand.

    A gzip bomb therefore costs no more memory than what is read of it. Several gzip members one after the
    other are one content, and zeros behind the last are padding (RFC 1952, and as gzip does).

    Args:
        raw: The file's bytes.

    Attributes:
        gzipped: Whether the bytes are compressed, whatever the file's name says.
        trailing: Bytes behind the last gzip member that belong to none; known once all was read.
    """

    def __init__(self, raw: bytes) -> None:
        self.gzipped = raw.startswith(GZIP_MAGIC)
        self.trailing = 0
        self._raw = raw
        self._position = 0
        self._pending = b""
        self._member = zlib.decompressobj(_GZIP_FORMAT)
        self._ended = False

    def read(self, count: int) -> bytearray:
        """Return the next bytes, fewer than `count` only at the end.

        Raises:
            UnusableFile: The compressed content is incomplete or damaged.
        """
        content = bytearray()
        while len(content) < count:
            piece = self._next(min(count - len(content), _PIECE_BYTES))
            if not piece:
                break
            content += piece
        return content

    def skip_rest(self, limit: int) -> int:
        """Read to the end, keep nothing, and return how many bytes it was; gzip's checksum is verified so.

        Raises:
            UnusableFile: The compressed content is incomplete or damaged, or more than `limit` bytes.
        """
        skipped = 0
        while piece := self._next(_PIECE_BYTES):
            skipped += len(piece)
            if skipped > limit:
                raise UnusableFile(DataCode.TOO_LARGE, f"has more than {counted(limit, 'byte')} of content")
        return skipped

    def _next(self, limit: int) -> bytes:
        """The next bytes, at most `limit`; none at the end."""
        if not self.gzipped:
            piece = self._raw[self._position : self._position + limit]
            self._position += len(piece)
            return piece
        while not self._ended:
            if not self._pending:
                self._pending = self._raw[self._position : self._position + _CHUNK_BYTES]
                self._position += len(self._pending)
            ends = not self._pending
            try:
                piece = self._member.decompress(self._pending, limit)
            except zlib.error as error:
                raise UnusableFile(DataCode.TRUNCATED, f"does not decompress: {error}") from error
            self._pending = self._member.unconsumed_tail
            if self._member.eof:
                self._position -= len(self._member.unused_data)
                self._start_member()
            elif ends and not piece:
                raise UnusableFile(DataCode.TRUNCATED, "ends within its compressed content")
            if piece:
                return piece
        return b""

    def _start_member(self) -> None:
        """Start the next gzip member, where there is one."""
        self._pending = b""
        if self._raw[self._position : self._position + 1] == b"\0":
            self._position = len(self._raw) - len(self._raw[self._position :].lstrip(b"\0"))
        if self._raw.startswith(GZIP_MAGIC, self._position):
            self._member = zlib.decompressobj(_GZIP_FORMAT)
        else:
            self.trailing = len(self._raw) - self._position
            self._ended = True


def open_file(path: Path) -> BinaryIO:
    """Open a file to read it.

    Raises:
        UnusableFile: It is absent, forbidden, a dead link, or no file but, for example, a pipe, which would
            be waited for.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnusableFile(DataCode.UNREADABLE, "is not a regular file")
        return path.open("rb")
    except OSError as error:
        raise unusable(path, error) from error


def read_start(path: Path, count: int) -> bytes:
    """Read the first bytes of a file.

    Raises:
        UnusableFile: It can't be read, is empty, or holds a pointer to its content.
    """
    with open_file(path) as file:
        try:
            raw = file.read(count)
        except OSError as error:
            raise unusable(path, error) from error
    require_content(raw)
    return raw


def require_content(raw: bytes) -> None:
    """Check that bytes are content, and not a pointer to it.

    Raises:
        UnusableFile: They are none, or the pointer of Git LFS or git-annex.
    """
    if not raw:
        raise UnusableFile(DataCode.EMPTY_FILE, "holds 0 bytes")
    for name, start in (("Git LFS", _LFS_POINTER), ("git-annex", _ANNEX_POINTER)):
        if len(raw) < _POINTER_BYTES and raw.startswith(start):
            raise UnusableFile(DataCode.POINTER_FILE, f"is a pointer of {name}, not the file itself")


def unusable(path: Path, error: OSError) -> UnusableFile:
    """Say why a file can't be opened or read.

    Args:
        path: The file.
        error: What the system said.
    """
    if error.errno in SHORTAGES:
        return UnusableFile(DataCode.OUT_OF_RESOURCES, f"can't be opened now: {error.strerror}")
    if isinstance(error, PermissionError):
        return UnusableFile(DataCode.PERMISSION_DENIED, "may not be read")
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        target = path.readlink()
        annex = ", where git-annex keeps contents," if "annex" in target.parts else ""
        return UnusableFile(DataCode.DANGLING_LINK, f"is a link to {target}{annex} and nothing is there")
    return UnusableFile(DataCode.UNREADABLE, f"can't be read: {error.strerror or error}")
