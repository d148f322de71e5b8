"""Claim on a folder of results: what a command replaces in it is what the same kind of command wrote."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from consilium.data.files import output_folder, private_folder, write_atomically, write_failure
from consilium.errors import ConfigurationError

_STATE: Final = ".consilium"
_PURPOSE: Final = "purpose"
_LOCK: Final = "lock"
_LONGEST: Final = 80
_OF_THE_SYSTEM: Final = "lost+found"


@contextmanager
def claim_folder(folder: Path, option: str, purpose: str, earlier: Collection[str]) -> Iterator[Path]:
    """Make the folder that a person named for results, mark it, and keep other runs out of it within a block.

    A run replaces and removes files by their names: in a folder of a hospital's own, these could be the
    labels that an expert drew, and in the folder of another run its models.

    Example:
        >>> folder = Path("labels")
        >>> folder.mkdir()
        >>> _ = (folder / "001_label.nii.gz").write_bytes(b"drawn by an expert")
        >>> with claim_folder(folder, "-o", "predictions", [".consilium"]):
        ...     pass
        Traceback (most recent call last):
        ...
        consilium.errors.ConfigurationError: -o labels holds other files than predictions, ...

    Args:
        folder: The folder; one that exists keeps its mode.
        option: What it was named with, such as `--out`.
        purpose: What is written into it, for people: "predictions".
        earlier: Names that a folder of this kind has, all of them, where it was made by a version that marked
            none.

    Raises:
        ConfigurationError: It holds something else, another run uses it, or it can't be made, read or
            written.
    """
    output_folder(folder, option)
    lock = FileLock(folder / _STATE / _LOCK, mode=0o600)
    try:
        _check(folder, option, purpose, earlier)
        state = private_folder(folder / _STATE)
        _acquire(lock, folder, option)
        write_atomically(state / _PURPOSE, purpose.encode())
    except OSError as error:
        raise ConfigurationError(write_failure(folder, error)) from error
    try:
        yield folder
    finally:
        lock.release()


def own_names(folder: Path) -> set[str]:
    """Return what somebody put into a folder: neither the system's names nor hidden ones, such as a claim."""
    names = (path.name for path in folder.iterdir())
    return {name for name in names if not name.startswith(".") and name != _OF_THE_SYSTEM}


def _acquire(lock: FileLock, folder: Path, option: str) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigurationError(
            f"{option} {folder} is in use by another run; wait until it ends, or name another folder"
        ) from None
    except NotImplementedError:  # a file system without locks: runs there are not kept apart
        return


def _check(folder: Path, option: str, purpose: str, earlier: Collection[str]) -> None:
    """Raise if a folder holds anything but what a run of the same kind wrote."""
    mark = folder / _STATE / _PURPOSE
    known = mark.read_text(encoding="utf-8", errors="replace")[:_LONGEST] if mark.is_file() else None
    if known == purpose:
        return
    if known is not None:
        raise ConfigurationError(
            f"{option} {folder} holds {known!r}, and {purpose} would replace files of it; name another folder"
        )
    own = own_names(folder)
    if own and not {path.name for path in folder.iterdir()}.issuperset(earlier):
        raise ConfigurationError(
            f"{option} {folder} holds other files than {purpose}, such as {min(own)!r}, and files of one "
            "name would be replaced; name a new folder, or an empty one"
        )
