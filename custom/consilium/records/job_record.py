"""Record of a job of any kind, found in a result folder."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from consilium.counts import counted
from consilium.errors import ConfigurationError
from consilium.records.evaluation import EVALUATION_FILE, EvaluationRecord
from consilium.records.federation import FEDERATION_FILE, FederationRecord
from consilium.records.readiness import READINESS_FILE, ReadinessRecord
from consilium.records.reading import check_record, read_json
from consilium.records.statistics import STATISTICS_FILE, StatisticsRecord
from consilium.tasks import get_task

JobRecord = FederationRecord | ReadinessRecord | StatisticsRecord | EvaluationRecord
"""What the server writes down: one for each kind of job."""

_KINDS: Mapping[str, type[JobRecord]] = {
    FEDERATION_FILE: FederationRecord,
    READINESS_FILE: ReadinessRecord,
    STATISTICS_FILE: StatisticsRecord,
    EVALUATION_FILE: EvaluationRecord,
}

RECORD_FILES = tuple(_KINDS)
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
    found = sorted(path for name in RECORD_FILES for path in folder.rglob(name) if path.is_file())
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
    content = read_json(path)
    _learn_codes(content)
    return check_record(_KINDS[path.name], content, path)
