"""Record of a job of any kind, found in a result folder."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from consilium.counts import counted
from consilium.errors import ConfigurationError
from consilium.records.federation import FEDERATION_FILE, FederationRecord
from consilium.records.readiness import READINESS_FILE, ReadinessRecord
from consilium.records.statistics import STATISTICS_FILE, StatisticsRecord
from consilium.tasks import get_task

JobRecord = FederationRecord | ReadinessRecord | StatisticsRecord
"""What the server writes down: one for each kind of job."""

_LOADERS: Mapping[str, Callable[[Path], JobRecord]] = {
    FEDERATION_FILE: lambda path: FederationRecord.load(path.parent),
    READINESS_FILE: ReadinessRecord.load,
    STATISTICS_FILE: StatisticsRecord.load,
}

RECORD_FILES = tuple(_LOADERS)
"""Names that a record may have in the server's run folder."""


def find_record(folder: Path) -> Path:
    """Return the record's file in the result of a job.

    Args:
        folder: The folder with the record, the job's folder around it, or a folder with one downloaded job.

    Raises:
        ConfigurationError: If there is no record, or more than one.
    """
    if not folder.is_dir():
        raise ConfigurationError(
            f"{folder} is not a folder; `nvflare job download JOB_ID -o DIR` downloads a job's result"
        )
    found = sorted(path for name in RECORD_FILES for path in folder.rglob(name))
    if not found:
        raise ConfigurationError(
            f"{folder} holds none of {', '.join(RECORD_FILES)}: it is not the downloaded result of one of "
            "Consilium's jobs, or the job ended before the sites were asked; see `nvflare job logs JOB_ID`"
        )
    if len(found) > 1:
        raise ConfigurationError(
            f"{folder} holds {counted(len(found), 'result')}; name the folder of one:"
            + "".join(f"\n  consilium report {shlex.quote(str(path.parent))} --out DIR" for path in found)
        )
    return found[0]


def _learn_codes(content: object) -> None:
    """Import the task of a record, where it is installed: the codes of its cases are known then."""
    task = content.get("task") if isinstance(content, dict) else None
    if isinstance(task, str):
        with suppress(ConfigurationError):  # the numbers stand in the record either way
            get_task(task)


def load_record(folder: Path) -> JobRecord:
    """Read the record in the result of a job; see `find_record`.

    Raises:
        ConfigurationError: If there is none, or it can't be read.
    """
    path = find_record(folder)
    try:
        _learn_codes(json.loads(path.read_text()))
        return _LOADERS[path.name](path)
    except (ValidationError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{path} is not a record that this version of consilium reads: {error}"
        ) from error
