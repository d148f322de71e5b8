"""Store of models that jobs name by the hash of their file, in the server's kit or beside a job."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Final, TypeAlias

from pydantic import Field

from consilium.data.files import private_folder, write_atomically
from consilium.errors import ConfigurationError

MODELS_FOLDER: Final = "models"
"""Folder of a store: in the server's `local/`, and beside an exported job."""

Digest: TypeAlias = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
"""SHA-256 of a file. FLARE takes a hash without the word in front of it for a secret, and warns."""

_PREFIX: Final = "sha256:"
_BLOCK: Final = 1 << 20


class ModelStore:
    """Model files in one folder, each named after the hash of its content.

    A job has no path and no weights in it: it names a model by its digest, and the server has the file. A
    file with other content than its name says is never used.

    Args:
        folder: Where the files are.
        place: The folder as messages name it.
    """

    def __init__(self, folder: Path, place: str) -> None:
        self.folder, self._place = folder, place

    @classmethod
    def beside(cls, job: Path) -> ModelStore:
        """Return the store beside an exported job, where `consilium jobs export` puts what the job names."""
        folder = job.absolute().parent / MODELS_FOLDER
        return cls(folder, str(folder))

    @classmethod
    def of_server(cls, local: Path) -> ModelStore:
        """Return the store in the `local/` of a server's kit; messages about it may reach other sites."""
        return cls(local / MODELS_FOLDER, f"local/{MODELS_FOLDER}/ of the server's kit")

    def add(self, content: bytes) -> Path:
        """Write a file; returns its path."""
        path = private_folder(self.folder, ours=False) / file_name(digest_of(content))
        write_atomically(path, content)
        return path

    def find(self, digest: str, title: str) -> Path:
        """Return the file of a model, after its content was compared with the hash.

        Args:
            digest: See `Digest`.
            title: What the model is, for messages.

        Raises:
            ConfigurationError: It is missing, can't be read or has another hash.
        """
        path = self.folder / file_name(digest)
        try:
            found = digest_of_file(path)
        except OSError as error:
            raise ConfigurationError(
                f"{title} can't be read ({error.strerror}): put the file {path.name}, which `consilium jobs "
                f"export` writes into {MODELS_FOLDER}/ beside the job, into {self._place}"
            ) from None
        if found != digest:
            raise ConfigurationError(
                f"{title} has been changed: {path.name} in {self._place} is {found}; copy it again"
            )
        return path

    def copy_to(self, other: ModelStore, digest: str, title: str) -> Path:
        """Copy a model into another store; returns its path there.

        Raises:
            ConfigurationError: See `find`.
        """
        return other.add(self.find(digest, title).read_bytes())


def file_name(digest: str) -> str:
    """Return the name of a model's file in a store, such as `9f86....safetensors`."""
    return f"{digest.removeprefix(_PREFIX)}.safetensors"


def digest_of(content: bytes) -> str:
    """Return the digest of a file's content, such as `sha256:9f86...`."""
    return f"{_PREFIX}{hashlib.sha256(content).hexdigest()}"


def digest_of_file(path: Path) -> str:
    """Return the digest of a file without holding all of it in memory.

    Raises:
        OSError: If it can't be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return f"{_PREFIX}{digest.hexdigest()}"
