"""Verified unpacking of a startup kit's archive."""

from __future__ import annotations

import hashlib
import io
import re
import stat
import zipfile
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Final

from consilium.data.files import private_folder, write_atomically
from consilium.errors import ConfigurationError
from consilium.guard.archive import UNREADABLE, is_safely_packed, read_entry
from consilium.provisioning.kit_packing import (
    CA,
    CONFIGS,
    FILES,
    FOLDERS,
    ca_fingerprint,
    new_folder,
)

_MOST_ENTRIES, _MOST_BYTES, _MOST_RATIO = 1000, 64 << 20, 200
"""What a kit can have: some 20 files of together 100 KB, or a few MB with an encryption context."""

_PIECE: Final = 1 << 20
_SCRIPT_SUFFIX: Final = ".sh"
_NAME: Final = re.compile(r"[A-Za-z0-9_.@%+-]{1,128}")
"""Of a file or folder; that of a kit is its participant's, and starts as no option or hidden folder does."""


def unpack_kit(archive: Path, folder: Path, *, sha256: str, fingerprint: str | None = None) -> Path:
    """Unpack an archive whose hash is right, and nothing that isn't a startup kit; returns the kit's folder.

    Nothing is written unless all of it is in order, and nothing that exists is replaced.

    Args:
        archive: What was received.
        folder: Where the kit's folder is made.
        sha256: The archive's hash, from somebody who knows it.
        fingerprint: The CA's, likewise; without it the archive's hash must be enough.

    Raises:
        ConfigurationError: If the hash or the fingerprint is another one, or the archive holds anything that
            isn't a kit's, or the kit's folder exists.
    """
    content = _read(archive)
    found = hashlib.sha256(content).hexdigest()
    if found != _digits(sha256, 64, "SHA-256 hash"):
        raise ConfigurationError(
            f"{archive.name} has the SHA-256 hash {found}, not {sha256}: it isn't the file that was sent. "
            "Don't use it; ask the project admin for it again, over another channel"
        )
    root, files = _read_files(content, archive.name)
    if not any(name in files for name in CONFIGS):
        raise ConfigurationError(f"{archive.name} is not a startup kit: it has none of {', '.join(CONFIGS)}")
    target = folder / root
    if target.exists() or target.is_symlink():
        raise ConfigurationError(f"{target} exists, and is not replaced; name another folder: --to DIR")
    with new_folder(target) as unfinished:
        for name, (file, runs) in files.items():
            _write(unfinished / name, file, runs=runs)
        seen = ca_fingerprint(unfinished / CA)
        if fingerprint is not None and _plain(seen) != _digits(fingerprint, 64, "fingerprint"):
            raise ConfigurationError(
                f"{archive.name} is of the CA with the fingerprint {seen}, not {fingerprint}: it is "
                "another federation's. Don't use it; telephone the project admin"
            )
    return target


def _read(archive: Path) -> bytes:
    """Return the file's content, read once, so that the hashed content is unpacked."""
    try:
        with archive.open("rb") as file:
            pieces = islice(iter(partial(file.read, _PIECE), b""), _MOST_BYTES // _PIECE + 1)
            content = b"".join(pieces)
    except OSError as error:
        raise ConfigurationError(f"{archive} can't be read: {error.strerror}") from None
    if len(content) > _MOST_BYTES:
        raise ConfigurationError(f"{archive.name} is larger than a startup kit; it was not unpacked")
    return content


def _read_files(content: bytes, name: str) -> tuple[str, dict[str, tuple[bytes | None, bool]]]:
    """Return the kit's name, and the content of its files and folders by path.

    A folder holds None; a file comes with whether it is executable.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as zipped:
            entries = _check_entries(zipped, name)
            files = {
                "/".join(entry.filename.rstrip("/").split("/")[1:]): (
                    _content(zipped, entry, name),
                    _runs(entry),
                )
                for entry in entries
            }
    except UNREADABLE as error:
        raise ConfigurationError(
            f"{name} is not a zip archive, or damaged ({type(error).__name__}); ask the project admin for it "
            "again"
        ) from None
    return entries[0].filename.split("/")[0], files


def _content(zipped: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> bytes | None:
    if entry.is_dir():
        return None
    content = read_entry(zipped, entry, entry.file_size)
    if len(content) != entry.file_size:
        raise ConfigurationError(
            f"{name} holds {entry.filename!r} with more in it than it states. Nothing was unpacked; inform "
            "the project admin"
        )
    return content


def _runs(entry: zipfile.ZipInfo) -> bool:
    return entry.filename.endswith(_SCRIPT_SUFFIX) or bool((entry.external_attr >> 16) & stat.S_IXUSR)


def _check_entries(file: zipfile.ZipFile, name: str) -> list[zipfile.ZipInfo]:
    """Return an archive's entries if every one is a file or folder of one startup kit."""
    entries = file.infolist()
    if not 0 < len(entries) <= _MOST_ENTRIES or sum(one.file_size for one in entries) > _MOST_BYTES:
        raise ConfigurationError(f"{name} holds nothing, or more than a startup kit; it was not unpacked")
    root = entries[0].filename.split("/")[0]
    seen: set[str] = set()
    plain_files = {one.filename.casefold() for one in entries if not one.is_dir()}
    for entry in entries:
        fault = _entry_fault(entry, root)
        plain = entry.filename.rstrip("/").casefold()
        if fault is None and plain in seen:
            fault = "it is there twice"
        if fault is None and any(str(parent) in plain_files for parent in PurePosixPath(plain).parents):
            fault = "it lies in a file"
        if fault is not None:
            raise ConfigurationError(
                f"{name} holds {entry.filename!r}, which no kit does: {fault}. Nothing was unpacked; inform "
                "the project admin"
            )
        seen.add(plain)
    return entries


def _entry_fault(entry: zipfile.ZipInfo, root: str) -> str | None:
    parts = entry.filename.rstrip("/").split("/")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if any(part in ("", ".", "..") or not _NAME.fullmatch(part) for part in parts) or not root[0].isalnum():
        return "no file of a kit has such a name"
    if entry.filename != entry.orig_filename or not is_safely_packed(entry):
        return "it is packed otherwise than a kit is"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (kind == stat.S_IFDIR) > entry.is_dir():
        return "it is a link or no plain file"
    if parts[0] != root:
        return "a kit is one folder"
    if len(parts) == 1:
        return None if entry.is_dir() else "a kit is one folder"
    if parts[1] not in (FILES if len(parts) == 2 and not entry.is_dir() else FOLDERS):
        return f"a kit has {', '.join((*FOLDERS, *FILES))}"
    if entry.file_size > max(1 << 20, entry.compress_size * _MOST_RATIO):
        return "it is larger than a kit's files"
    return None


def _write(path: Path, content: bytes | None, *, runs: bool) -> None:
    if content is None:
        private_folder(path)
        return
    private_folder(path.parent)
    write_atomically(path, content, durable=False)
    path.chmod(0o700 if runs else 0o600)


def _digits(text: str, count: int, what: str) -> str:
    digits = _plain(text)
    if len(digits) != count or set(digits) - set("0123456789abcdef"):
        raise ConfigurationError(
            f"{text!r} is no {what}: it has {count} hexadecimal digits, and this has {len(digits)} characters"
        )
    return digits


def _plain(text: str) -> str:
    """Return digits without separators and prefixes."""
    return text.lower().rpartition("=")[2].removeprefix("sha256:").translate(str.maketrans("", "", " :-\t\n"))
