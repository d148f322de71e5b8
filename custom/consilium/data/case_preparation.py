"""Preparation of one case: examination of its files, and conversion into arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from consilium.data.case import Case, CaseError
from consilium.data.finding import Finding

NativeT = TypeVar("NativeT")

ReadBytes = Callable[[Path], bytes]
"""Returns the content of a file, or raises `UnusableFile`."""


@dataclass(frozen=True)
class Examination(Generic[NativeT]):
    """Result of one reading of a case's files.

    Args:
        problems: Everything that makes the case unusable, in the order in which it was found.
        native: The case as its files hold it, where nothing does.
        parts: Where something does, what can be looked at all the same.
        files: What could be read, by path, in the format's own form.
    """

    problems: tuple[Finding, ...] = ()
    native: NativeT | None = None
    parts: tuple[NativeT, ...] = ()
    files: Mapping[Path, Any] = field(default_factory=dict)

    def require_native(self) -> NativeT:
        """Return the case as its files hold it.

        Raises:
            CaseError: It can't be used.
        """
        if self.native is None:
            raise CaseError(self.problems[0])
        return self.native


@dataclass(frozen=True)
class Prepared:
    """A case as stored in the cache.

    Args:
        arrays: What is trained on and evaluated against, by name; names are the format's, never a file's.
        meta: What else is needed, such as the way back to the file's grid; as JSON.
        labeled: Whether the target is among it.
    """

    arrays: Mapping[str, NDArray[Any]]
    meta: BaseModel
    labeled: bool


class PreparationSettings(BaseModel):
    """Settings of preparation, besides a case's files; a format extends them.

    Attributes:
        version: Raised when the same files and settings would give other arrays, so that no cache mixes both.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: ClassVar[int] = 1

    def fingerprint(self) -> str:
        """Short text that is equal exactly when the settings and the version are."""
        content = f"{type(self).__name__} {self.version} {self.model_dump_json()}"
        return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


class CasePreparation(Protocol):
    """The part of a `CaseFormat` that a case is made again by, from its files alone."""

    @property
    def name(self) -> str:
        """Name of the problem, which separates its stored results from those of other problems."""

    @property
    def settings_type(self) -> type[PreparationSettings]:
        """The settings that `prepare` takes."""

    def examine(self, case: Case, convention: str | None, read: ReadBytes) -> Examination[Any]:
        """Read the files of a case and find everything that is wrong with them.

        Args:
            case: The case.
            convention: What its target means.
            read: Returns the content of a file. Nothing else opens one.

        Raises:
            CaseError: In place of an examination with one problem.
        """

    def prepare(self, native: Any, settings: Any) -> Prepared:
        """Prepare the arrays for training and evaluation.

        Args:
            native: From an examination.
            settings: A `settings_type`.

        Raises:
            UnusableFile: A file can't be prepared.
        """
