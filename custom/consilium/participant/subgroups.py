"""Subgroups of a hospital's patients, such as age bands, from a CSV file that stays there."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from consilium.counts import counted
from consilium.data.cached_case import CachedCase
from consilium.data.visits import normalize_unicode
from consilium.errors import DataError

MOST_ATTRIBUTES: Final = 6
MOST_VALUES: Final = 12
"""Of one attribute."""

SUBGROUP_NAME: Final = r"^[A-Za-z0-9<>][A-Za-z0-9<>=+%._ -]{0,29}$"
"""Names of attributes and values leave the site: short words that no spreadsheet takes for a formula."""

_IDS: Final = ("patient", "case")
_NAME: Final = re.compile(SUBGROUP_NAME)
_MOST_BYTES: Final = 16 * 1024 * 1024

Subgroups: TypeAlias = Mapping[str, Mapping[str, frozenset[str]]]
"""Attribute to value to the ids of the patients, or cases, that have it."""


def read_subgroups(path: Path, cases: Sequence[CachedCase], known: Mapping[str, str]) -> Subgroups:
    """Read a hospital's subgroups; ids that no case has are left alone.

    The first column is `patient` or `case`, each other one an attribute: `age band`, `scanner`. An empty cell
    leaves the patient out of the attribute's subgroups.

    Args:
        path: The file, in UTF-8; cells are separated by commas, semicolons or tabs.
        cases: The cases to divide, each with an `id` and a `patient`.
        known: Case id to patient of all cases of the site: no name of a subgroup may be one of theirs.

    Returns:
        Attribute to value to the ids of the given cases.

    Raises:
        DataError: The file can't be used. The message is for the hospital: it names lines and no patient.
    """
    heads, lines = _read_table(path)
    of_id: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        of_id[normalize_unicode(case.patient if heads[0] == "patient" else case.id)].append(case.id)
    private = {normalize_unicode(name).casefold() for pair in known.items() for name in pair}
    seen: dict[str, int] = {}
    found: dict[str, dict[str, set[str]]] = {head: defaultdict(set) for head in heads[1:]}
    for line, (name, *values) in lines:
        if name in seen:
            raise _unusable(path, f"names one {heads[0]} in line {seen[name]} and again in line {line}")
        seen[name] = line
        for head, value in zip(heads[1:], values, strict=True):
            if value:
                _check_name(path, value, line, private)
                found[head][value].update(of_id.get(name, ()))
    for head in heads[1:]:
        _check_name(path, head, 1, private)
        if len(found[head]) > MOST_VALUES:
            raise _unusable(
                path, f"has {len(found[head])} values of one attribute; at most {MOST_VALUES} are allowed"
            )
    return {
        head: {value: frozenset(ids) for value, ids in sorted(values.items()) if ids}
        for head, values in found.items()
    }


def _check_name(path: Path, name: str, line: int, private: Collection[str]) -> None:
    if not _NAME.fullmatch(name):
        raise _unusable(
            path,
            f"has a name in line {line} that may not leave the site: up to 30 letters, digits, spaces and "
            "<>=+%._- are allowed, beginning with a letter, a digit, < or >",
        )
    if name.casefold() in private:
        raise _unusable(path, f"has the id of a patient or case as the name of a subgroup in line {line}")


def _read_table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and each line with its number; all have as many cells."""
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise _unusable(path, f"can't be read ({error.strerror})") from None
    except UnicodeError:
        raise _unusable(path, "is not UTF-8 text; in Excel, save it as 'CSV UTF-8'") from None
    if len(content) > _MOST_BYTES or "\0" in text:
        raise _unusable(path, "is no CSV file")
    delimiter = next((one for one in "\t;" if one in text.partition("\n")[0]), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = [(reader.line_num, [normalize_unicode(cell.strip()) for cell in row]) for row in reader]
    except csv.Error as error:
        raise _unusable(path, f"is not valid CSV in line {reader.line_num} ({error})") from None
    rows = [(line, row) for line, row in rows if any(row)]
    if not rows:
        raise _unusable(path, "is empty")
    (_, heads), lines = rows[0], rows[1:]
    heads = [heads[0].casefold(), *heads[1:]]
    if heads[0] not in _IDS or not 1 <= len(heads) - 1 <= MOST_ATTRIBUTES or len(set(heads)) < len(heads):
        raise _unusable(
            path,
            f"doesn't begin with the line patient,NAME or case,NAME with 1 to {MOST_ATTRIBUTES} names of "
            "attributes",
        )
    for line, row in lines:
        if len(row) != len(heads) or not row[0]:
            raise _unusable(
                path, f"has {counted(len(row), 'cell')} in line {line}, or no id; needed: {len(heads)} cells"
            )
    return heads, lines


def _unusable(path: Path, what: str) -> DataError:
    return DataError(
        f"The file of subgroups {path} {what}. Wanted: a line for each patient, such as patient,age band."
    )
