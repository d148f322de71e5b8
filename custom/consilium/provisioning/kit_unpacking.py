"""Unpack the archive of a startup kit at the one who receives it, if it is what was sent and nothing more."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from consilium.data.files import private_folder, write_atomically
from consilium.errors import ConfigurationError
from consilium.provisioning.kit_packing import (
    CA,
    CONFIGS,
    FILES,
    FOLDERS,
    ca_fingerprint,
    file_sha256,
    new_folder,
)

_MOST_ENTRIES, _MOST_BYTES, _MOST_RATIO = 1000, 64 << 20, 200
"""What a kit can have: some 20 files of together 100 KB, or a few MB with an encryption context."""

_SCRIPT_SUFFIX: Final = ".sh"


def unpack_kit(archive: Path, folder: Path, *, sha256: str, fingerprint: str | None = None) -> Path:
    """Unpack an archive whose hash is right, and nothing that isn't a startup kit; returns the kit's folder.

    Nothing is written unless all of it is in order, and nothing that exists is replaced.

    Args:
        archive: What was received.
        folder: Where the kit's folder is made.
        sha256: The archive's hash, from somebody who knows it.
        fingerprint: The CA's, likewise; without it the archive's hash has to be enough.

    Raises:
        ConfigurationError: If the hash or the fingerprint is another one, or the archive holds anything that
            isn't a kit's, or the kit's folder exists.
    """
    found = file_sha256(archive)
    if found != _digits(sha256, 64, "SHA-256 hash"):
        raise ConfigurationError(
            f"{archive.name} has the SHA-256 hash {found}, not {sha256}: it isn't the file that was sent. "
            "Don't use it; ask the project admin for it again, over another channel"
        )
    with _opened(archive) as file:
        entries = _check_entries(file, archive.name)
        target = folder / entries[0].filename.split("/")[0]
        if target.exists() or target.is_symlink():
            raise ConfigurationError(f"{target} exists, and is not replaced; name another folder: --to DIR")
        with new_folder(target) as unfinished:
            for entry in entries:
                _extract(file, entry, unfinished)
            if not any((unfinished / name).is_file() for name in CONFIGS):
                raise ConfigurationError(
                    f"{archive.name} is no startup kit: it has none of {', '.join(CONFIGS)}"
                )
            seen = ca_fingerprint(unfinished / CA)
            if fingerprint is not None and _plain(seen) != _digits(fingerprint, 64, "fingerprint"):
                raise ConfigurationError(
                    f"{archive.name} is of the CA with the fingerprint {seen}, not {fingerprint}: it is "
                    "another federation's. Don't use it; telephone the project admin"
                )
    return target


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(archive) as file:
            yield file
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise ConfigurationError(
            f"{archive.name} is no zip archive, or damaged ({error}); ask the project admin for it again"
        ) from None


def _check_entries(file: zipfile.ZipFile, name: str) -> list[zipfile.ZipInfo]:
    """Return an archive's entries if every one is a file or folder of one startup kit."""
    entries = file.infolist()
    if not 0 < len(entries) <= _MOST_ENTRIES or sum(one.file_size for one in entries) > _MOST_BYTES:
        raise ConfigurationError(f"{name} holds nothing, or more than a startup kit; it was not unpacked")
    root = entries[0].filename.split("/")[0]
    seen = set()
    for entry in entries:
        fault = _entry_fault(entry, root)
        plain = entry.filename.rstrip("/").casefold()
        if fault is None and plain in seen:
            fault = "it is there twice"
        if fault is not None:
            raise ConfigurationError(
                f"{name} holds {entry.filename!r}, which no kit does: {fault}. Nothing was unpacked; tell "
                "the project admin"
            )
        seen.add(plain)
    return entries


def _entry_fault(entry: zipfile.ZipInfo, root: str) -> str | None:
    parts = entry.filename.rstrip("/").split("/")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if any(part in ("", ".", "..") for part in parts) or "\\" in entry.filename:
        return "its name leads elsewhere"
    if not entry.filename.isprintable():
        return "its name can't be printed"
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


def _extract(file: zipfile.ZipFile, entry: zipfile.ZipInfo, kit: Path) -> None:
    path = kit.joinpath(*entry.filename.rstrip("/").split("/")[1:])
    if entry.is_dir():
        private_folder(path)
        return
    private_folder(path.parent)
    content = file.read(entry)  # its length and checksum are compared with the directory's
    write_atomically(path, content, durable=False)
    runs = path.suffix == _SCRIPT_SUFFIX or (entry.external_attr >> 16) & stat.S_IXUSR
    path.chmod(0o700 if runs else 0o600)


def _digits(text: str, count: int, what: str) -> str:
    digits = _plain(text)
    if len(digits) != count or set(digits) - set("0123456789abcdef"):
        raise ConfigurationError(
            f"{text!r} is no {what}: it has {count} hexadecimal digits, and this has {len(digits)} characters"
        )
    return digits


def _plain(text: str) -> str:
    """Return digits without what people write between or before them."""
    return text.lower().rpartition("=")[2].removeprefix("sha256:").translate(str.maketrans("", "", " :-\t\n"))
