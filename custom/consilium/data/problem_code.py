"""Codes of problems with a hospital's data: base class, severity and remedy.

The package and each task have codes of their own, as subclasses of `ProblemCode`.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple

from pydantic_core import CoreSchema, core_schema


class Severity(str, Enum):
    """Consequence of a finding for the case."""

    ERROR = "error"
    """The case is left out: it would change what a label means, mix patients, or make training wrong."""
    WARNING = "warning"
    """The case is used; somebody should look at it."""
    INFO = "info"
    """The case is used; good to know."""


class CodeText(NamedTuple):
    """Parts of a code; see `error`, `warning` and `info`."""

    value: str
    severity: Severity
    summary: str
    remedy: str
    acceptable: bool


def error(value: str, summary: str, remedy: str, *, acceptable: bool = False) -> CodeText:
    """Describe a code whose cases are left out.

    Args:
        value: The code.
        summary: What it is, in a few words.
        remedy: One sentence for the person at the hospital who can fix it.
        acceptable: Whether a hospital can accept it after looking.
    """
    return CodeText(value, Severity.ERROR, summary, remedy, acceptable)


def warning(value: str, summary: str, remedy: str) -> CodeText:
    """Describe a code whose cases are used but should be looked at; see `error`."""
    return CodeText(value, Severity.WARNING, summary, remedy, acceptable=True)


def info(value: str, summary: str, remedy: str) -> CodeText:
    """Describe a code that is good to know; see `error`."""
    return CodeText(value, Severity.INFO, summary, remedy, acceptable=True)


class ProblemCode(str, Enum):
    """Base of the codes of the data and of each task.

    The values are stable, and no two codes share one: they are counted and compared between sites.

    Attributes:
        severity: What it means for the case, unless the evidence of one finding is overwhelming.
        summary: What it is, in a few words.
        remedy: One sentence for the person at the hospital who can fix it.
        acceptable: Whether a hospital can accept it for a case after looking, which then is used. Not what
            makes reading impossible or mixes patients: a statement doesn't change that.
    """

    _value_: str
    severity: Severity
    summary: str
    remedy: str
    acceptable: bool

    def __new__(
        cls, value: str, severity: Severity, summary: str, remedy: str, acceptable: bool
    ) -> ProblemCode:
        """Make a code out of its `CodeText`."""
        code = str.__new__(cls, value)
        code._value_ = value
        code.severity, code.summary, code.remedy, code.acceptable = severity, summary, remedy, acceptable
        return code

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        """A field of this type takes the value of any code that is known; JSON holds the value."""
        return core_schema.no_info_plain_validator_function(
            _known,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda code: code.value, return_schema=core_schema.str_schema()
            ),
        )


def known_codes() -> Iterator[ProblemCode]:
    """Yield every code of the modules that are imported: those of tasks come with them."""
    for codes in ProblemCode.__subclasses__():
        yield from codes


def _known(value: str) -> ProblemCode:
    code = next((code for code in known_codes() if code.value == value), None)
    if code is None:
        raise ValueError(f"{value!r} is the code of no problem that is known here")
    return code
