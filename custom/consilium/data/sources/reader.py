"""The files of one case, each read at most once, and the key under which everything made of them is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from consilium.data.case import Case
from consilium.data.case_boundary import case_boundary
from consilium.data.sources.file import DIGEST_BYTES, SourceContent, read_source
from consilium.data.sources.index import CaseRecord, FileRecord
from consilium.tasks.brain_tumor.labels import LabelConvention


class CaseReader:
    """Reads the files of one case when they are asked for, and remembers them.

    Args:
        case: The case.
        record: What is known of its files.
        held: Files that have been read already.
    """

    def __init__(
        self, case: Case, record: CaseRecord, held: Mapping[Path, SourceContent] | None = None
    ) -> None:
        self._case = case
        self._record = record
        self._contents = dict(held or {})

    def read(self, path: Path) -> bytes:
        """The content of a file.

        Raises:
            UnusableFile: It can't be read.
        """
        return self._content(path).data

    def known_key(self, convention: LabelConvention | None, modalities: Sequence[str]) -> str | None:
        """What `key` would return, without reading anything; None if a file is not known."""
        digests = {path: self._known_digest(path) for path in _paths(self._case, modalities)}
        known = {path: digest for path, digest in digests.items() if digest is not None}
        return _key(self._case, convention, modalities, known) if len(known) == len(digests) else None

    def key(self, convention: LabelConvention | None, modalities: Sequence[str]) -> str:
        """Hash of the content of a case's files: another content of a file gives another one.

        Files that are not known are read.

        Args:
            convention: What its label's values mean.
            modalities: The images that are used.

        Returns:
            40 hexadecimal digits.

        Raises:
            CaseError: A file can't be read.
        """
        digests: dict[Path, str] = {}
        for path in _paths(self._case, modalities):
            with case_boundary(self._case.id, path, "read"):
                digests[path] = self._known_digest(path) or self._content(path).digest
        return _key(self._case, convention, modalities, digests)

    def new_record(self) -> CaseRecord | None:
        """What is known of the files now; None if that is nothing new."""
        records = {
            path: FileRecord(identity=content.identity, digest=content.digest)
            for path, content in self._contents.items()
            if content.identity is not None
        }
        updated = self._record.updated(records)
        return updated if updated != self._record else None

    def _content(self, path: Path) -> SourceContent:
        if path not in self._contents:
            self._contents[path] = read_source(path)
        return self._contents[path]

    def _known_digest(self, path: Path) -> str | None:
        """The hash of what was read, so that it is never another's; before that, of what was known."""
        if path in self._contents:
            return self._contents[path].digest
        known = self._record.find(path)
        return known.digest if known else None


def _paths(case: Case, modalities: Sequence[str]) -> list[Path]:
    """The files that are used, each once: one holds all modalities in some layouts."""
    images = [case.images[name] for name in modalities if name in case.images]
    volumes = images + ([case.label] if case.label else [])
    return list(dict.fromkeys(volume.path for volume in volumes))


def _key(
    case: Case, convention: LabelConvention | None, modalities: Sequence[str], digests: Mapping[Path, str]
) -> str:
    volumes = {name: case.images[name] for name in modalities if name in case.images}
    images = [(name, digests[volume.path], volume.channel) for name, volume in volumes.items()]
    label = case.label and (convention and convention.value, digests[case.label.path], case.label.channel)
    return hashlib.blake2b(repr((images, label)).encode(), digest_size=DIGEST_BYTES).hexdigest()
