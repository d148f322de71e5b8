"""Persistent index of the hospital's files: hashes of content, and values in targets."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from consilium.data.case import Case
from consilium.data.files import private_folder
from consilium.data.problem_code import ProblemCode
from consilium.data.sealed import read_sealed, write_sealed
from consilium.data.sources.file import FileIdentity, SourceContent, identify

INDEX_VERSION: Final = 2
"""Raised when the same target would give other values or another problem."""

_FOLDER: Final = "sources"
_HELD_BYTES: Final = 256 << 20
_NAME_BYTES: Final = 16


class TargetRecord(BaseModel):
    """Values in the file of a target.

    Attributes:
        values: Its values other than 0.
        problem: Why it can't be used; None where it can.
        detail: What was seen of that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    values: tuple[int | float, ...] = ()
    problem: ProblemCode | None = None
    detail: str = ""


class FileRecord(BaseModel):
    """Record of one file, valid while its identity is unchanged.

    Attributes:
        identity: Of the file that was read.
        digest: Hash of its content.
        target: What it says, if it is a target.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    identity: FileIdentity
    digest: str
    target: TargetRecord | None = None


class CaseRecord(BaseModel):
    """Records of one case's files, by a hash of their paths."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    files: dict[str, FileRecord] = {}

    def find(self, path: Path) -> FileRecord | None:
        """The record of a file; None if there is none, or the file has changed since or is gone."""
        found = self.files.get(_name(path))
        try:
            return found if found is not None and found.identity == identify(path) else None
        except OSError:
            return None

    def updated(self, records: Mapping[Path, FileRecord]) -> CaseRecord:
        """Copy with these records in place of earlier ones, keeping those of a target's content."""
        files = dict(self.files)
        for path, record in records.items():
            before = files.get(_name(path))
            if record.target is None and before is not None and before.digest == record.digest:
                record = record.model_copy(update={"target": before.target})
            files[_name(path)] = record
        return CaseRecord(files=files)


class SourceIndex:
    """Records of cases in a folder of the site, one small file each, with recently read targets in memory.

    No lock is needed: records are replaced as a whole, and a lost or damaged one costs a reading.

    Args:
        folder: Where records are kept and found; None to keep none.
        also: More folders in which they are found.
    """

    def __init__(self, folder: Path | None = None, *, also: Sequence[Path] = ()) -> None:
        self._folder = folder
        self._found_in = (*([folder] if folder else []), *also)
        self._held: dict[Path, SourceContent] = {}
        self._held_bytes = 0
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Make the folder.

        Raises:
            OSError: It can't be written.
        """
        if self._folder is not None:
            private_folder(self._folder / _FOLDER)

    def recall(self, case: Case) -> CaseRecord:
        """What is known of a case; an empty record if nothing is."""
        files: dict[str, FileRecord] = {}
        for folder in reversed(self._found_in):
            record = read_sealed(folder / _FOLDER / _case_name(case), CaseRecord)
            files |= record.files if record else {}
        return CaseRecord(files=files)

    def keep(self, case: Case, record: CaseRecord) -> None:
        """Store the record of a case.

        Raises:
            OSError: The folder can't be written.
        """
        if self._folder is not None and record.files:
            self.begin()
            write_sealed(self._folder / _FOLDER / _case_name(case), record)

    def hold(self, path: Path, content: SourceContent) -> None:
        """Hold a target in memory until its case is read; past 256 MiB in all it is read again instead."""
        with self._lock:
            if self._held_bytes + len(content.data) <= _HELD_BYTES:
                self._held[path] = content
                self._held_bytes += len(content.data)

    def release(self, case: Case) -> dict[Path, SourceContent]:
        """Return and free the content held for a case."""
        with self._lock:
            file = case.target_file
            content = self._held.pop(file.path, None) if file else None
            if file is None or content is None:
                return {}
            self._held_bytes -= len(content.data)
        return {file.path: content}

    def release_all(self) -> None:
        """Free all held content: the remaining cases have been read, or never will be."""
        with self._lock:
            self._held.clear()
            self._held_bytes = 0


def _case_name(case: Case) -> str:
    target = _name(case.target_file.path) if case.target_file else None
    parts = (INDEX_VERSION, target, sorted(map(_name, case.paths)))
    return f"{hashlib.blake2b(repr(parts).encode(), digest_size=_NAME_BYTES).hexdigest()}.json"


def _name(path: Path) -> str:
    # Bytes, as a name need not be UTF-8.
    return hashlib.blake2b(os.fsencode(path.absolute()), digest_size=_NAME_BYTES).hexdigest()
