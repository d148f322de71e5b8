"""The hospital's files as they are read: each one once, and not at all while it has not changed."""

from consilium.data.sources.file import FileIdentity, SourceContent, identify, read_source
from consilium.data.sources.index import CaseRecord, FileRecord, SourceIndex, TargetRecord
from consilium.data.sources.reader import CaseReader

__all__ = [
    "CaseReader",
    "CaseRecord",
    "FileIdentity",
    "FileRecord",
    "SourceContent",
    "SourceIndex",
    "TargetRecord",
    "identify",
    "read_source",
]
