"""Strict JSON parser that rejects everything ambiguous."""

from __future__ import annotations

import json
import math
from typing import Any, Final

from consilium.counts import counted
from consilium.errors import ConfigurationError

_DEEPEST: Final = 16
"""Levels of a job's configuration; the recipes write ten."""

_LONGEST_NUMBER: Final = 32
"""Characters of a number: Python takes seconds for one of a million digits."""


def parse_json(content: bytes) -> Any:
    """Parse JSON text.

    Rejects what the JSON standard leaves open or Python adds: a key that occurs twice in an object, NaN and
    infinite numbers, an encoding other than ASCII, in which recipes write: FLARE reads it in the encoding of
    each machine.

    Args:
        content: The text.

    Raises:
        ConfigurationError: If it is not that; says why.
    """
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"byte {error.start} is not ASCII; write \\uXXXX for a character") from None
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_reject_constant,
            parse_int=_read_int,
            parse_float=_read_float,
        )
    except RecursionError:
        raise ConfigurationError(f"it is nested more than {_DEEPEST} levels deep") from None
    except ValueError as error:
        raise ConfigurationError(f"it is not valid JSON: {error}") from None
    _check_depth(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ConfigurationError(f"key {json.dumps(twice[:40])} occurs twice in one object")
    return result


def _reject_constant(name: str) -> Any:
    raise ConfigurationError(f"{name} is not a JSON number")


def _read_int(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ConfigurationError(
            f"a number has {counted(len(digits), 'digit')}; at most {_LONGEST_NUMBER} are allowed"
        )
    return int(digits)


def _read_float(digits: str) -> float:
    value = float(digits)
    if len(digits) > _LONGEST_NUMBER or not math.isfinite(value):
        raise ConfigurationError(f"{digits[:_LONGEST_NUMBER]} is not a number that a job can hold")
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_DEEPEST):
        level = [child for one in level for child in _children(one)]
        if not level:
            return
    raise ConfigurationError(f"it is nested more than {_DEEPEST} levels deep")


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
