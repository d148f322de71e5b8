"""Format of a problem's cases: how files become cases, how those are read, and what is prepared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from consilium.data.case import Case, CaseError
from consilium.data.finding import Finding
from consilium.data.progress import Progress

if TYPE_CHECKING:
    from consilium.data.cached_case import CachedCase
    from consilium.data.checks.single_case import CaseChecks
    from consilium.data.sources import SourceIndex

NativeT = TypeVar("NativeT")

ReadBytes = Callable[[Path], bytes]
"""Returns the content of a file, or raises `UnusableFile`."""


@dataclass(frozen=True)
class FoundCases:
    """What the names in a dataset folder show: cases, and what looks like one but isn't complete.

    Args:
        cases: Whole cases. Their images are those that the problem uses, in its order.
        problems: What makes the others unusable.
        incomplete: Cases among those with problems that have images, which can be looked at all the same.
        notices: What somebody should look at although the case is used, or belongs to no case.
        understood: The files whose names say what they are, used or not.
        unknown: The files that may be images and whose names nobody understood.
    """

    cases: tuple[Case, ...]
    problems: tuple[Finding, ...] = ()
    incomplete: tuple[Case, ...] = ()
    notices: tuple[Finding, ...] = ()
    understood: frozenset[Path] = frozenset()
    unknown: tuple[Path, ...] = ()


@dataclass(frozen=True)
class TargetReading:
    """What the targets of a whole site mean, decided once from all of them.

    Args:
        meaningful: Whether targets can be used at all; False where nothing shows what they mean.
        convention: What they mean, by its name; None where the problem has but one meaning.
        problems: The cases whose target can't be used.
        notices: What speaks against the reading.
    """

    meaningful: bool
    convention: str | None = None
    problems: tuple[Finding, ...] = ()
    notices: tuple[Finding, ...] = ()


class DatasetFolder(Protocol):
    """The folder of a site as a format understands it."""

    @property
    def layout(self) -> str:
        """Short name of how files lie in it, as it stands in reports."""

    def find(self) -> FoundCases:
        """Put files together to cases.

        Raises:
            DataError: The folder contradicts itself, for example in a file that describes it.
        """

    def read_targets(
        self,
        cases: Sequence[Case],
        *,
        convention: str | None,
        index: SourceIndex,
        progress: Progress | None = None,
    ) -> TargetReading:
        """Decide what the targets of a site mean.

        Args:
            cases: Those that have a target, also incomplete ones.
            convention: What the hospital says; it is then followed.
            index: What is known of files; what is read is kept in it.
            progress: Called for each target.

        Raises:
            FolderError: They can mean several things.
        """


@dataclass(frozen=True)
class Examination(Generic[NativeT]):
    """All that one reading of a case's files found.

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
    """A case as it is kept in the cache.

    Args:
        arrays: What is trained on and evaluated against, by name; names are the format's, never a file's.
        meta: What else is needed, such as the way back to the file's grid; as JSON.
        labeled: Whether the target is among it.
    """

    arrays: Mapping[str, NDArray[Any]]
    meta: BaseModel
    labeled: bool


class PreparationSettings(BaseModel):
    """What preparing a case depends on besides its files; a format extends it.

    Attributes:
        version: Raised when the same files and settings would give other arrays, so that no cache mixes both.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: ClassVar[int] = 1

    def fingerprint(self) -> str:
        """Short text that is equal exactly when the settings and the version are."""
        content = f"{type(self).__name__} {self.version} {self.model_dump_json()}"
        return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


class CaseFormat(Protocol):
    """All that has to be known of a problem to find, read and prepare its cases.

    It travels to the processes that read cases, so it is small and a top-level class can be imported there.
    `Case.images` and `Case.target` hold what is used: the content of all of it enters the key of a case.
    """

    @property
    def name(self) -> str:
        """Name of the problem; what is kept of a case of one is never taken for that of another."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the images that a case must have, in the network's order."""

    @property
    def conventions(self) -> tuple[str, ...]:
        """What a hospital may say that its targets mean; empty where there is nothing to say."""

    @property
    def checks(self) -> CaseChecks:
        """What is checked in a case, and between two of them."""

    @property
    def case_type(self) -> type[CachedCase]:
        """As what prepared cases are opened: `CachedCase`, or a class with properties for their arrays."""

    @property
    def settings_type(self) -> type[PreparationSettings]:
        """The settings that `prepare` takes."""

    def preparation(self, job: BaseModel) -> PreparationSettings:
        """Pick out of a job's settings what preparing depends on."""

    def check_endings(self, endings: Mapping[str, Sequence[str]]) -> None:
        """Check what a hospital adds to the endings of file names.

        Raises:
            ConfigurationError: An ending is none, or belongs to nothing that there is.
        """

    def open_folder(
        self, folder: Path, files: Sequence[Path], endings: Mapping[str, Sequence[str]]
    ) -> DatasetFolder:
        """Recognize how the files of a folder lie.

        Args:
            folder: The dataset folder.
            files: Every visible file under it.
            endings: What the hospital adds to the known endings of file names: an input, or `label`, to them.

        Raises:
            FolderError: They lie in no known way, or in several.
            ConfigurationError: See `check_endings`.
        """

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
        """Make what is trained on and evaluated against.

        Args:
            native: From an examination.
            settings: A `settings_type`.

        Raises:
            UnusableFile: A file can't be prepared.
        """
