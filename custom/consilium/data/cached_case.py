"""One preprocessed case, as training and evaluation see it: arrays that are mapped into memory."""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from consilium.data.cache_entry import (
    IMAGE,
    LABEL,
    META,
    REFERENCE,
    VOXELS,
    DamagedEntry,
    build_entry,
    entry_name,
    map_array,
    read_meta,
)
from consilium.data.case import Case, CaseError
from consilium.data.case_boundary import PASSING, case_boundary
from consilium.data.codes import DataCode
from consilium.data.sources import CaseReader, CaseRecord
from consilium.errors import DataError
from consilium.tasks.brain_tumor.labels import LabelConvention, Tissue
from consilium.tasks.segmentation.geometry import Geometry
from consilium.tasks.segmentation.native import examine
from consilium.tasks.segmentation.preprocessing import (
    PreprocessedCase,
    PreprocessingSettings,
    preprocess_native,
)

RETRY_WAITS_S: Final = (0.5, 1.0, 2.0)
"""Before a damaged entry is made again once more, where the machine was short of something or the hospital's
share refused access: both pass."""


class UnreadableCase(DataError):
    """A case that was preprocessed has gone from the disk since, or is damaged, and can't be made again."""


@dataclass(frozen=True)
class Origin:
    """What an entry of the cache was made of, so that a damaged one is made again.

    Args:
        case: The case.
        convention: What its label's values mean.
        settings: How it was preprocessed.
    """

    case: Case
    convention: LabelConvention | None
    settings: PreprocessingSettings

    def rebuild(self, entry: Path, name: str) -> None:
        """Make an entry again of which a file is damaged, unless another process has done so meanwhile.

        Args:
            entry: Its folder.
            name: The file.

        Raises:
            CaseError: The case can't be read or preprocessed, whatever the reason.
            DataError: The hospital's files are others than the entry was made of.
            OSError: The cache can't be written.
        """
        reader = CaseReader(self.case, CaseRecord())
        with case_boundary(self.case.id, self.case.place, "read"):
            examination = examine(self.case, self.convention, self.settings.modalities, read=reader.read)
        key = reader.key(self.convention, self.settings.modalities)
        if entry_name(key, self.settings) != entry.name:
            raise DataError("the files that it was made of have changed")
        native = examination.require_native()

        def whole() -> bool:
            try:
                map_array(entry, name)
            except DamagedEntry:
                return False
            return True

        def make() -> PreprocessedCase:
            with case_boundary(self.case.id, self.case.place, "prepared"):
                return preprocess_native(native, self.settings)

        build_entry(entry, make, whole=whole)


@dataclass(frozen=True)
class CachedCase:
    """A preprocessed case, ready to cut patches from.

    Arrays are mapped anew at each access and nothing is kept open: a site with a thousand cases would
    otherwise run out of file descriptors, and a data loader's workers receive a few paths instead of
    arrays. The first access of a process compares a file with its checksum; a damaged entry is made again
    from the hospital's files. Where that fails, after several tries if the reason may pass, the access raises
    `UnreadableCase`.

    Args:
        id: As in `Case`. Never leaves the site.
        patient: As in `Case`.
        geometry: The way back to the original file.
        folder: The cache's entry.
        labeled: Whether the case has a label.
        origin: What a damaged entry is made again from; None where that can't be.
    """

    id: str
    patient: str
    geometry: Geometry
    folder: Path
    labeled: bool
    origin: Origin | None = field(default=None, repr=False)

    @property
    def image(self) -> NDArray[np.float16]:
        """Normalized modalities on the task grid, `(C, X, Y, Z)`, read-only."""
        return self._map(IMAGE)

    @property
    def label(self) -> NDArray[np.uint8] | None:
        """Tissues on the task grid, `(X, Y, Z)`, read-only; None for an unlabeled case."""
        return self._map(LABEL) if self.labeled else None

    @property
    def reference(self) -> NDArray[np.uint8] | None:
        """Tissues on the native crop, `(X, Y, Z)`, read-only; None for an unlabeled case."""
        return self._map(REFERENCE) if self.labeled else None

    @cached_property
    def tissue_voxels(self) -> Mapping[Tissue, NDArray[np.int16]]:
        """For each tissue but background in `label`, indices `(N, 3)` of up to 2048 of its voxels."""
        if not self.labeled:
            return {}
        rows: NDArray[np.int16] = np.array(self._map(VOXELS))
        return {Tissue(int(value)): rows[rows[:, 0] == value, 1:] for value in np.unique(rows[:, 0])}

    def _map(self, name: str) -> NDArray[Any]:
        try:
            return map_array(self.folder, name)
        except DamagedEntry as damage:
            self._rebuild(name, damage)
        try:
            return map_array(self.folder, name)
        except DamagedEntry as damage:
            raise UnreadableCase(f"its preprocessed {damage}, right after it was made again") from damage

    def _rebuild(self, name: str, damage: DamagedEntry) -> None:
        """Make the entry again; what passes, such as a lack of memory, is tried several times."""
        for wait_s in (*RETRY_WAITS_S, None):
            try:
                if self.origin is None:
                    raise DataError("it is not known what it was made of")
                self.origin.rebuild(self.folder, name)
                return
            except (DataError, OSError, MemoryError) as error:
                if wait_s is None or not _passes_soon(error):
                    if not _passes(error):
                        with suppress(OSError):
                            (self.folder / META).unlink(missing_ok=True)  # the next job makes it again
                    reason = str(error) or type(error).__name__
                    detail = f"its preprocessed {damage}, and it can't be made again: {reason}"
                    raise UnreadableCase(detail) from error
            time.sleep(wait_s)


def _passes(error: Exception) -> bool:
    """Whether an entry may be made again another time: the hospital's files are not at fault."""
    return error.problem.code in PASSING if isinstance(error, CaseError) else not isinstance(error, DataError)


def _passes_soon(error: Exception) -> bool:
    """Whether that may be in a moment; a fault of this program isn't one that passes while it runs."""
    fault = isinstance(error, CaseError) and error.problem.code is DataCode.UNEXPECTED_ERROR
    return _passes(error) and not fault


def open_entry(entry: Path, case: Case, *, origin: Origin | None = None) -> CachedCase | None:
    """The cached form of a case, None if its entry is absent or incomplete; marks it as used now.

    Args:
        entry: The entry's folder.
        case: The case.
        origin: What the entry was made of.
    """
    meta = read_meta(entry)
    if meta is None:
        return None
    try:
        os.utime(entry / META)
    except OSError:  # another process has just removed it
        return None
    return CachedCase(case.id, case.patient, meta.geometry, entry, LABEL in meta.files, origin)
