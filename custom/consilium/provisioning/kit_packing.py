"""Archives of startup kits, with their hashes and the fingerprint of the federation's CA."""

from __future__ import annotations

import hashlib
import io
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from cryptography import x509
from nvflare.tool.cert.fingerprint import cert_fingerprint_sha256

from consilium.data.files import flush_folder, private_folder, write_atomically
from consilium.errors import ConfigurationError
from consilium.provisioning.runtimes.docker_compose import COMPOSE_FILE, ENV_FILE, GPU_FILE

SUMS: Final = "SHA256SUMS"
"""In the folder of the archives: their hashes, in the form of `sha256sum`."""

NUMBERS: Final = "NUMBERS.txt"
"""Beside it: what is compared by telephone."""

FOLDERS: Final = ("startup", "local", "transfer", "kubernetes")
"""In a new kit; the last in one that is prepared for Kubernetes."""

FILES: Final = ("readme.txt", COMPOSE_FILE, ENV_FILE, GPU_FILE)
"""Beside them."""

CA: Final = "startup/rootCA.pem"
"""The federation's root certificate."""

CONFIGS: Final = ("startup/fed_client.json", "startup/fed_server.json", "startup/fed_admin.json")
"""One of them is in every kit: a hospital's, the server's, a user's."""

_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""Of every entry: the same kit gives the same archive."""


@dataclass(frozen=True)
class PackedKit:
    """A packed kit: its archive, and the two numbers by which its receiver verifies it.

    Attributes:
        archive: The file.
        sha256: Of the archive, in hexadecimal digits.
        fingerprint: Of the federation's CA certificate, as `ca_fingerprint` writes it.
    """

    archive: Path
    sha256: str
    fingerprint: str


def pack_kits(kits: Path, folder: Path, *, names: Sequence[str] = ()) -> list[PackedKit]:
    """Write an archive of every kit, with their hashes, into a new folder.

    All of it is there in the end, or nothing: it is written beside the folder and takes its name last.

    Args:
        kits: The folder that `nvflare provision` wrote, `prod_NN`.
        folder: The new folder; it must not exist.
        names: Of participants; default: all.

    Raises:
        ConfigurationError: If the folder exists, there is no such kit, or a kit holds what isn't a kit's:
            links, or what a site writes once it has run.
    """
    if folder.exists() or folder.is_symlink():
        raise ConfigurationError(f"{folder} exists, and nothing is replaced; name a new folder: --to DIR")
    chosen = _choose(kits, names)
    contents = {kit: _kit_files(kit) for kit in chosen}
    with new_folder(folder) as unfinished:
        packed = []
        for kit, files in contents.items():
            archive = unfinished / f"{kit.name}.zip"
            _write_archive(archive, kit, files)
            packed.append(PackedKit(folder / archive.name, file_sha256(archive), ca_fingerprint(kit / CA)))
        lines = [f"{one.sha256}  {one.archive.name}\n" for one in packed]
        write_atomically(unfinished / SUMS, "".join(lines).encode())
        write_atomically(unfinished / NUMBERS, _numbers(packed).encode())
    return packed


def file_sha256(path: Path) -> str:
    """Return a file's SHA-256 hash in hexadecimal digits.

    Raises:
        ConfigurationError: If it can't be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while piece := file.read(1 << 20):
                digest.update(piece)
            return digest.hexdigest()
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}") from None


def ca_fingerprint(certificate: Path) -> str:
    """Return the SHA-256 fingerprint of a certificate, such as `SHA256:9A:41:...`, as FLARE writes it.

    Raises:
        ConfigurationError: If it is not a certificate.
    """
    try:
        loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError):
        raise ConfigurationError(f"{certificate} is not a certificate; the kit is incomplete") from None
    return str(cert_fingerprint_sha256(loaded))


def _choose(kits: Path, names: Sequence[str]) -> list[Path]:
    if not kits.is_dir():
        raise ConfigurationError(
            f"{kits} is not a folder; name the folder prod_NN that `nvflare provision` wrote"
        )
    found = {
        one.name: one
        for one in sorted(kits.iterdir())
        if not one.is_symlink() and any((one / name).is_file() for name in CONFIGS)
    }
    if not found:
        below = newest_kits(kits)
        hint = f"did you mean {below}?" if below else "`nvflare provision` writes such a folder, prod_NN"
        raise ConfigurationError(f"{kits} holds no startup kits; {hint}")
    unknown = sorted(set(names) - found.keys())
    if unknown:
        raise ConfigurationError(f"no kit of {', '.join(unknown)} in {kits}; there are: {', '.join(found)}")
    return [found[name] for name in (names or found)]


def newest_kits(workspace: Path) -> Path | None:
    """Find the kits of the last provisioning, `prod_NN`, at any depth of a folder; None without any."""
    found = [one for one in workspace.rglob("prod_*") if one.is_dir()]
    return max(found, key=lambda one: (len(one.name), one.name), default=None)


def _kit_files(kit: Path) -> list[Path]:
    """Return a kit's files and folders, in the order of their names."""
    strange = sorted(one.name for one in kit.iterdir() if one.name not in (*FOLDERS, *FILES))
    strange += sorted(f"{one.parent.name}/{one.name}" for one in kit.glob("transfer/*"))
    if strange:
        raise ConfigurationError(
            f"{kit} holds {', '.join(strange)}, which a new kit doesn't: a site has run from it; its logs "
            "and jobs don't leave with a kit. Provision again and pack that"
        )
    files = sorted(kit.rglob("*"))
    irregular = [one for one in files if one.is_symlink() or not (one.is_file() or one.is_dir())]
    if irregular:
        raise ConfigurationError(f"{irregular[0]} is a link or no plain file; a kit has none")
    return files


def _write_archive(archive: Path, kit: Path, files: Sequence[Path]) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for path in (kit, *files):
            name = PurePosixPath(kit.name, *path.relative_to(kit).parts)
            entry = zipfile.ZipInfo(f"{name}/" if path.is_dir() else str(name), _TIME)
            entry.create_system = 3  # Unix: the mode is in the upper half
            entry.external_attr = _mode(path) << 16 | (0x10 if path.is_dir() else 0)
            entry.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(entry, b"" if path.is_dir() else path.read_bytes())
    write_atomically(archive, content.getvalue())


def _mode(path: Path) -> int:
    if path.is_dir():
        return stat.S_IFDIR | stat.S_IRWXU
    return stat.S_IFREG | (0o700 if path.stat().st_mode & stat.S_IXUSR else 0o600)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder beside the wanted one, which takes its name when all of it is written.

    Args:
        folder: The wanted one.

    Raises:
        ConfigurationError: If it exists by then.
    """
    private_folder(folder.parent, ours=False)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.unfinished-", dir=folder.parent))
    try:
        yield unfinished
        if folder.exists() or folder.is_symlink():  # somebody else was faster
            raise ConfigurationError(f"{folder} exists by now, and is not replaced")
        unfinished.rename(folder)
        flush_folder(folder.parent)
    except BaseException:  # an interrupt, too, leaves no part of a folder
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _numbers(packed: Sequence[PackedKit]) -> str:
    """Return the numbers to give by telephone."""
    lines = [
        f"SHA-256 fingerprint of the federation's CA:\n  {packed[0].fingerprint}\n",
        "\nSHA-256 of the archives:\n",
    ]
    lines += [f"  {one.archive.name}\n    {grouped(one.sha256)}\n" for one in packed]
    return "".join(lines)


def grouped(digits: str) -> str:
    """Return hexadecimal digits in groups of four, as they are read out.

    Example:
        >>> grouped("0123456789ab")
        '0123 4567 89ab'
    """
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))
