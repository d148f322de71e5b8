"""Private files and folders, written atomically."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tempfile
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Final

from pydantic import PlainSerializer, PlainValidator

from consilium.errors import ConfigurationError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_ALMOST_FULL_BYTES = 1 << 20
_NUMPY_FULL = re.compile(r"\d+ requested and \d+ written|Not enough free space to write \d+ bytes")
"""What numpy says of a full disk; the latter of arrays above 16 MiB, before it writes any of them."""

_NO_TEXT = "\0"  # starts no path: none may hold it
_SURROGATE = re.compile("[\ud800-\udfff]")

OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
"""The mode bits of everybody but the owner."""


def readable(text: object) -> str:
    r"""Return a text in which file names that are not UTF-8 are written with escapes.

    A name may be any bytes on Linux, and Python keeps those that are not UTF-8 as lone surrogates, which
    neither a page nor a log nor JSON can hold. Every message about a file goes through here; the path itself
    is unchanged.

    Args:
        text: A path, an id made of a file's name, or a message that holds one.

    Example:
        >>> readable(os.fsdecode(b"M\xfcller_scan.nii.gz"))
        'M\\xfcller_scan.nii.gz'
    """
    return _SURROGATE.sub(_escape, str(text))


def _escape(found: re.Match[str]) -> str:
    number = ord(found.group())
    # 0xDC80 to 0xDCFF stand for the bytes 0x80 to 0xFF (PEP 383).
    return f"\\x{number - 0xDC00:02x}" if 0xDC80 <= number <= 0xDCFF else f"\\u{number:04x}"


def _path_to_json(path: Path) -> str:
    return str(path) if readable(path) == str(path) else _NO_TEXT + os.fsencode(path).hex()


def _path_from_json(value: object) -> Path:
    if isinstance(value, str) and value.startswith(_NO_TEXT):
        return Path(os.fsdecode(bytes.fromhex(value.removeprefix(_NO_TEXT))))
    if isinstance(value, str | Path):
        return Path(value)
    raise ValueError("a path is a text")


JsonPath = Annotated[
    Path, PlainValidator(_path_from_json), PlainSerializer(_path_to_json, return_type=str, when_used="json")
]
"""A path that comes back from JSON as it was, also where its name is not UTF-8."""


def write_failure(folder: Path, error: OSError) -> str:
    """Return why a site's folder can't be written and what to do; numpy names a full disk without a number.

    Args:
        folder: The folder, such as the cache.
        error: What writing to it raised.
    """
    if is_disk_full(error, folder):
        return f"{folder}: its disk is full; make room, or set cache_dir to a larger disk"
    return f"{folder} can't be written ({error}); let the account that runs FLARE write to it"


def is_disk_full(error: OSError, folder: Path | None = None) -> bool:
    """Return whether writing failed for want of space.

    Args:
        error: What it raised; numpy's has no number.
        folder: Where it was written, if known: other packages' errors have no number either, so its free
            space decides.
    """
    if error.errno is not None:
        return error.errno in _DISK_FULL
    if _NUMPY_FULL.search(str(error)):
        return True
    if folder is None:
        return False
    try:
        return shutil.disk_usage(folder).free < _ALMOST_FULL_BYTES
    except OSError:
        return False


def private_folder(path: Path, *, ours: bool = True) -> Path:
    """Make a folder that only its owner can enter, whatever the umask is; returns it.

    Missing parents are made the same way. A parent that exists keeps its mode: it may be a home folder or a
    disk that others use.

    Args:
        path: The folder.
        ours: Whether an existing folder is closed to others as well. False for a folder that a person names,
            who may use it for more than this.

    Raises:
        OSError: If it can't be made, is a file, or can't be closed to others: it belongs to another account,
            or its file system keeps no modes.
    """
    absent = list(takewhile(lambda folder: not folder.exists(), (path, *path.parents)))
    for folder in reversed(absent):
        folder.mkdir(mode=stat.S_IRWXU, exist_ok=True)
    path.mkdir(exist_ok=True)  # an error where it is a file
    # Those just made as well: in a folder that everybody may write to, another account may have been faster.
    for folder in {*absent, path} if ours else absent:
        _close(folder)
    return path


def output_folder(path: Path, option: str) -> Path:
    """Make the folder that a person named for results, and look whether files can be written into it.

    Args:
        path: The folder; one that exists keeps its mode.
        option: What it was named with, such as `--out`.

    Raises:
        ConfigurationError: It can't be made or written, or its name is not UTF-8.
    """
    if readable(path.absolute()) != str(path.absolute()):
        raise ConfigurationError(
            f"{option}: the name {readable(path.absolute())} is not UTF-8; name another folder"
        )
    try:
        private_folder(path, ours=False)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        reason = "it is a file" if path.is_file() else os.strerror(error.errno or errno.EIO)
        raise ConfigurationError(f"{path} can't be written: {reason}; choose another {option}") from None
    return path


def require_outside(path: Path, folder: Path, option: str) -> None:
    """Raise if output would be written into the hospital's folder.

    Raises:
        ConfigurationError: `path` is in `folder`.
    """
    if path.resolve().is_relative_to(folder.resolve()):
        raise ConfigurationError(
            f"{option} {path} lies in the dataset folder, which is only ever read; "
            "name a place outside of it."
        )


def private_opener(path: str, flags: int) -> int:
    """Open a file that only its owner can read, whatever the umask is: the `opener` of `open`.

    Raises:
        OSError: If it can't be opened, or it exists and can't be closed to others.
    """
    descriptor = os.open(path, flags, stat.S_IRUSR | stat.S_IWUSR)
    try:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if os.name == "posix" and mode & OTHERS:
            os.fchmod(descriptor, mode & ~OTHERS)
    except BaseException:  # an interrupt, too, leaves no open file
        os.close(descriptor)
        raise
    return descriptor


def close_tree(folder: Path) -> None:
    """Take all rights of other accounts away from a folder and all below it; links are not followed.

    Raises:
        OSError: If something belongs to another account.
    """
    _close(folder)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            _close(path)


def _close(path: Path) -> None:
    if os.name != "posix" or not path.stat().st_mode & OTHERS:
        return
    path.chmod(stat.S_IMODE(path.stat().st_mode) & ~OTHERS)
    if path.stat().st_mode & OTHERS:
        raise PermissionError(
            errno.EPERM, "other accounts can open it, and its file system keeps no modes", str(path)
        )


def write_atomically(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file in one step: readers see the old content or the new, also after a crash or a full disk.

    Args:
        path: The file; its folder exists.
        content: What it will hold.
        durable: Whether the content must have reached the disk on return; costs milliseconds.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
        if durable:
            flush_folder(path.parent)
    except BaseException:  # an interrupt, too, leaves no part of a file
        temporary.unlink(missing_ok=True)
        raise


def flush_folder(folder: Path) -> None:
    """Let the names of new files reach the disk, too, where the system lets a folder be opened.

    Raises:
        OSError: The disk reports an error.
    """
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
