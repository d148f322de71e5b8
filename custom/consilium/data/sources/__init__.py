"""The hospital's files, each read once and only again when changed."""

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
