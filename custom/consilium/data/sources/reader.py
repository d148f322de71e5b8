"""Files of one case, each read at most once, and the key of everything made from them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from consilium.data.case import Case
from consilium.data.case_boundary import case_boundary
from consilium.data.sources.file import DIGEST_BYTES, SourceContent, read_source
from consilium.data.sources.index import CaseRecord, FileRecord


class CaseReader:
    """Reads the files of one case on demand, and caches them.

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

    def known_key(self, convention: str | None, problem: str) -> str | None:
        """What `key` would return, without reading anything; None if a file is not known."""
        digests = {path: self._known_digest(path) for path in self._case.paths}
        known = {path: digest for path, digest in digests.items() if digest is not None}
        return _key(self._case, convention, problem, known) if len(known) == len(digests) else None

    def key(self, convention: str | None, problem: str) -> str:
        """Hash of the content of a case's files and of its target: another content gives another one.

        Files that are not known are read.

        Args:
            convention: What its target means.
            problem: Name of the problem, see `CaseFormat`.

        Returns:
            40 hexadecimal digits.

        Raises:
            CaseError: A file can't be read.
        """
        digests: dict[Path, str] = {}
        for path in self._case.paths:
            with case_boundary(self._case.id, path, "read"):
                digests[path] = self._known_digest(path) or self._content(path).digest
        return _key(self._case, convention, problem, digests)

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


def _key(case: Case, convention: str | None, problem: str, digests: Mapping[Path, str]) -> str:
    images = [(name, digests[image.path], image.channel) for name, image in case.images.items()]
    file = case.target_file
    target = (digests[file.path], file.channel) if file else case.target
    parts = (problem, images, None if target is None else (convention, target))
    return hashlib.blake2b(repr(parts).encode(), digest_size=DIGEST_BYTES).hexdigest()
