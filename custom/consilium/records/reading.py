"""Reading of records from files that others wrote: valid as a whole, or an error that names each fault.

A downloaded result, a server's progress and a readiness check come from another machine, and a disk may have
damaged them. Reports and commands rely on a record's bounds, so they read it here only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, TypeVar

import pydantic_core
from pydantic import BaseModel, ValidationError

from consilium.counts import counted
from consilium.errors import ConfigurationError
from consilium.settings import explain_faults

MOST_BYTES_READ: Final = 512 * 1024 * 1024
"""Of one file; 10,000 rounds of ten sites take about 100 MB."""

_MOST_FAULTS: Final = 10
_LONGEST_CAUSE: Final = 300

RecordT = TypeVar("RecordT", bound=BaseModel)


class Contradiction(ValueError):
    """Fields of a record, each within its bounds, that don't fit each other.

    Args:
        field: Where.
        allowed: What would fit.
        seen: What is there.
    """

    def __init__(self, field: str, *, allowed: str, seen: object) -> None:
        super().__init__(f"{field}: allowed: {allowed} (seen: {seen!r:.120})")


def read_record(kind: type[RecordT], path: Path) -> RecordT:
    """Read a record from a JSON file.

    A model with a method `check_consistency` is checked by it as well; a record that is still being written
    is not, so this is not a validator of the model.

    Args:
        kind: The record's model.
        path: The file.

    Raises:
        ConfigurationError: If it is not such a record: with the file and, for each of the first faults, the
            field, what is allowed and what is there.
        FileNotFoundError: If there is no such file.
        OSError: If it can't be read.
    """
    return check_record(kind, read_json(path), path)


def read_json(path: Path) -> Any:
    """Return the content of a JSON file from elsewhere; NaN and infinite numbers are errors.

    Raises:
        ConfigurationError: If it is not JSON, or larger than any record.
        OSError: If it can't be read.
    """
    if path.exists() and not path.is_file():  # a pipe would never end
        raise ConfigurationError(f"{path} is not a file")
    if (size := path.stat().st_size) > MOST_BYTES_READ:
        raise ConfigurationError(f"{path} has {size} bytes, and at most {MOST_BYTES_READ} are allowed")
    try:
        return pydantic_core.from_json(path.read_bytes(), allow_inf_nan=False)
    except ValueError as error:
        cause = str(error)[:_LONGEST_CAUSE]
        raise ConfigurationError(f"{_unreadable(path)}: it is not valid JSON: {cause}") from None


def check_record(kind: type[RecordT], content: Any, path: Path) -> RecordT:
    """Return the record that some content is.

    Args:
        kind: The record's model.
        content: Of the file.
        path: The file, for the message.

    Raises:
        ConfigurationError: See `read_record`.
    """
    try:
        record = kind.model_validate(content)
        check = getattr(record, "check_consistency", None)
        if check is not None:
            check()
    except ValidationError as error:
        lines = explain_faults(error, kind, content, noun="field")
    except Contradiction as error:
        lines = [f"  {error}"]
    else:
        return record
    if len(lines) > _MOST_FAULTS:
        lines = [*lines[:_MOST_FAULTS], f"  and {counted(len(lines) - _MOST_FAULTS, 'more fault')}"]
    raise ConfigurationError("\n".join([f"{_unreadable(path)}:", *lines]))


def _unreadable(path: Path) -> str:
    return f"{path} is not a record that this version of consilium reads"
