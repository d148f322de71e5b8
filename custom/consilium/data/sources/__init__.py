"""The hospital's files as they are read: each one once, and not at all while it has not changed."""

from consilium.data.sources.file import FileIdentity, SourceContent, identify, read_source
from consilium.data.sources.index import CaseRecord, FileRecord, LabelRecord, SourceIndex
from consilium.data.sources.reader import CaseReader

__all__ = [
    "CaseReader",
    "CaseRecord",
    "FileIdentity",
    "FileRecord",
    "LabelRecord",
    "SourceContent",
    "SourceIndex",
    "identify",
    "read_source",
]
