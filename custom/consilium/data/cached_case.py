"""A prepared case for training and evaluation: memory-mapped arrays."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from numpy.typing import NDArray
from pydantic import Field, JsonValue

from consilium.data.cache_entry import META, DamagedEntry, build_entry, entry_name, map_array
from consilium.data.case import Case, CaseError
from consilium.data.case_boundary import PASSING, case_boundary
from consilium.data.case_preparation import CasePreparation, PreparationSettings, Prepared
from consilium.data.codes import DataCode
from consilium.data.sources import CaseReader, CaseRecord
from consilium.errors import DataError

RETRY_WAITS_S: Final = (0.5, 1.0, 2.0)
"""Before a damaged entry is made again once more, where the machine was short of something or the hospital's
share denied access; both are temporary."""


class UnreadableCase(DataError):
    """A prepared case that is missing or damaged and can't be rebuilt."""


@dataclass(frozen=True)
class EntrySource:
    """Source of a cache entry, from which a damaged one is rebuilt.

    Args:
        case: The case.
        convention: What its target means.
        settings: How it was prepared: the format's settings, as JSON.
    """

    case: Case
    convention: str | None
    settings: dict[str, JsonValue]

    @classmethod
    def of(cls, case: Case, convention: str | None, settings: PreparationSettings) -> "EntrySource":
        """Record an entry's source, with absolute paths of files."""
        return cls(case.absolute(), convention if case.labeled else None, settings.model_dump(mode="json"))

    def rebuild(self, entry: Path, name: str, case_format: CasePreparation) -> None:
        """Make an entry again of which a file is damaged, unless another process has done so meanwhile.

        Args:
            entry: Its folder.
            name: The array.
            case_format: How the case is read and prepared.

        Raises:
            CaseError: The case can't be read or prepared, whatever the reason.
            DataError: The hospital's files are others than the entry was made of.
            OSError: The cache can't be written.
        """
        settings = case_format.settings_type.model_validate(self.settings)
        reader = CaseReader(self.case, CaseRecord())
        with case_boundary(self.case.id, self.case.place, "read"):
            examination = case_format.examine(self.case, self.convention, reader.read)
        key = reader.key(self.convention, case_format.name)
        if entry_name(key, settings) != entry.name:
            raise DataError("the files that it was made of have changed")
        native = examination.require_native()

        def whole() -> bool:
            try:
                map_array(entry, name)
            except DamagedEntry:
                return False
            return True

        def make() -> Prepared:
            with case_boundary(self.case.id, self.case.place, "prepared"):
                return case_format.prepare(native, settings)

        build_entry(entry, make, whole=whole)


@dataclass(frozen=True)
class CachedCase:
    """A prepared case: arrays by name, and the format's metadata.

    Arrays are mapped at each access and nothing is kept open: a site with a thousand cases would
    otherwise run out of file descriptors, and a data loader's workers receive a few paths instead of
    arrays. The first access of a process compares a file with its checksum; a damaged entry is made again
    from the hospital's files. Where that fails, after several tries if the reason may pass, the access raises
    `UnreadableCase`.

    A format opens its cases as a subclass with a property for each array. As JSON a case travels to other
    processes of the site; `attach` gives it its format there.

    Args:
        id: As in `Case`. Never leaves the site.
        patient: As in `Case`.
        folder: The cache's entry.
        labeled: Whether the case has a target.
        meta: What the format keeps beside the arrays.
        origin: What a damaged entry is made again from; None where that can't be.
        case_format: The `CasePreparation` by which it is made again; not part of the JSON.
    """

    id: str
    patient: str
    folder: Path
    labeled: bool
    meta: Mapping[str, JsonValue] = field(default_factory=dict, repr=False)
    origin: EntrySource | None = field(default=None, repr=False)
    case_format: Annotated[Any, Field(exclude=True)] = field(default=None, repr=False, compare=False)

    def array(self, name: str) -> NDArray[Any]:
        """Return an array of the case, read-only.

        Args:
            name: As in `Prepared.arrays`.

        Raises:
            UnreadableCase: It is damaged, and can't be made again.
        """
        try:
            return map_array(self.folder, name)
        except DamagedEntry as damage:
            self._rebuild(name, damage)
        try:
            return map_array(self.folder, name)
        except DamagedEntry as damage:
            raise UnreadableCase(f"its prepared {damage}, right after it was made again") from damage

    def _rebuild(self, name: str, damage: DamagedEntry) -> None:
        """Rebuild the entry; temporary errors, such as a lack of memory, are retried."""
        for wait_s in (*RETRY_WAITS_S, None):
            try:
                if self.origin is None or self.case_format is None:
                    raise DataError("it is not known what it was made of")
                self.origin.rebuild(self.folder, name, self.case_format)
                return
            except (DataError, OSError, MemoryError) as error:
                if wait_s is None or not _passes_soon(error):
                    if not _passes(error):
                        with suppress(OSError):
                            (self.folder / META).unlink(missing_ok=True)  # the next job makes it again
                    reason = str(error) or type(error).__name__
                    detail = f"its prepared {damage}, and it can't be made again: {reason}"
                    raise UnreadableCase(detail) from error
            time.sleep(wait_s)


def _passes(error: Exception) -> bool:
    """Whether an entry may be made again another time: the hospital's files are not at fault."""
    return error.problem.code in PASSING if isinstance(error, CaseError) else not isinstance(error, DataError)


def _passes_soon(error: Exception) -> bool:
    """Whether that may be in a moment; a fault of this program isn't one that passes while it runs."""
    fault = isinstance(error, CaseError) and error.problem.code is DataCode.UNEXPECTED_ERROR
    return _passes(error) and not fault
