"""The report of a job's result as FLARE's download brings it."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from consilium.errors import ConfigurationError
from consilium.report.records import FEDERATION_FILE, FederationRecord


def find_result(folder: Path) -> Path:
    """Return the folder of a downloaded job's results, the one with `federation.json`.

    Args:
        folder: That folder, the job's folder around it, or a folder with one downloaded job.

    Raises:
        ConfigurationError: If there is no result, or more than one.
    """
    if not folder.is_dir():
        raise ConfigurationError(
            f"{folder} is not a folder; `nvflare job download JOB_ID -o DIR` brings a job's result"
        )
    found = sorted(path.parent for path in folder.rglob(FEDERATION_FILE))
    if not found:
        raise ConfigurationError(
            f"{folder} holds no {FEDERATION_FILE}: it is not the downloaded result of a training job, or the "
            "job ended before its first round; see `nvflare job logs JOB_ID`"
        )
    if len(found) > 1:
        raise ConfigurationError(
            f"{folder} holds {len(found)} results; name one: {', '.join(str(path) for path in found)}"
        )
    return found[0]


def load_result(folder: Path) -> FederationRecord:
    """Read the record in a downloaded result; see `find_result`.

    Raises:
        ConfigurationError: If there is none, or it can't be read.
    """
    result = find_result(folder)
    try:
        return FederationRecord.load(result)
    except (ValidationError, ValueError) as error:
        raise ConfigurationError(
            f"{result / FEDERATION_FILE} is not a record that this version of consilium reads: {error}"
        ) from error
