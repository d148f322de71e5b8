"""Findings that a hospital accepts, in a CSV file that stays at the hospital."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from consilium.counts import counted
from consilium.data.codes import find_code
from consilium.data.finding import Finding
from consilium.data.problem_code import ProblemCode, Severity, known_codes
from consilium.data.visits import normalize_unicode
from consilium.errors import ConfigurationError

ACCEPTED_FILE: Final = "accepted_findings.csv"
"""Its name in a site's `state_dir`, where the settings name no other."""

_COLUMNS = ("case", "code", "files", "by", "note")
_HOW_TO_WRITE = "consilium check DIR --write-accepted FILE writes a file to complete"

Acceptance = tuple[str, ProblemCode, str]
"""Case, code, and the mark of the files that were looked at."""


@dataclass(frozen=True)
class AcceptedFindings:
    """Findings that a hospital has examined and accepts.

    The file has the columns `case,code,files,by,note`, one finding of one case a line; `files` is
    `Finding.files`, so that other files need another look. It holds ids and names: only how often each code
    was accepted may leave the site.

    Args:
        lines: What is accepted, to the line of the file that says so.
    """

    lines: Mapping[Acceptance, int] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path | None) -> AcceptedFindings:
        """Read the file; None accepts nothing.

        Raises:
            ConfigurationError: The file can't be read, has other columns, or a line names a code that is
                unknown or can't be accepted. The message holds no case.
        """
        if path is None:
            return cls()
        try:
            text = path.read_text(encoding="utf-8-sig")
            # Spreadsheets of some languages separate by semicolons, and some programs by tabs.
            header_line = text.partition("\n")[0]
            delimiter = next((one for one in "\t;" if one in header_line), ",")
            reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ConfigurationError(
                f"Accepted findings in {path} can't be read ({error}): expected a CSV file in UTF-8 with the "
                f"columns {','.join(_COLUMNS)}; {_HOW_TO_WRITE}."
            ) from error
        header = [name.lower() for name in rows[0][1]] if rows else []
        if tuple(header) != _COLUMNS:
            raise ConfigurationError(
                f"{path}, line 1: expected the columns {','.join(_COLUMNS)}, separated by commas; "
                f"{_HOW_TO_WRITE}."
            )
        lines: dict[Acceptance, int] = {}
        for number, cells in rows[1:]:
            if not any(cells):
                continue
            case_id, name, files, by = (*cells, "", "", "", "")[:4]
            if len(cells) > len(_COLUMNS):
                raise ConfigurationError(
                    f"{path}, line {number}: it has more than {counted(len(_COLUMNS), 'column')}; put a "
                    "note with a "
                    "comma in quotation marks."
                )
            if not case_id or not by:
                raise ConfigurationError(
                    f"{path}, line {number}: the columns case and by must not be empty. Write who accepts "
                    "the finding, or remove the line."
                )
            lines[normalize_unicode(case_id), _code(name, path, number), files.lower()] = number
        return cls(lines)

    @classmethod
    def find(cls, path: Path | None, folder: Path) -> AcceptedFindings:
        """Read the file that was named, else the one in a folder, if it is there.

        Args:
            path: A file that was named.
            folder: The site's `state_dir`.

        Raises:
            ConfigurationError: See `read`.
        """
        usual = folder / ACCEPTED_FILE
        return cls.read(path or (usual if usual.exists() else None))

    def apply(self, finding: Finding) -> Finding:
        """The finding, marked where the hospital accepts it."""
        if _acceptance(finding) not in self.lines:
            return finding
        return finding.model_copy(update={"accepted": finding.code.acceptable})

    def unused(self, findings: Iterable[Finding]) -> list[int]:
        """Lines that accept findings that the case doesn't have."""
        found = {accepted[:2] for accepted in map(_acceptance, findings) if accepted}
        return sorted(number for accepted, number in self.lines.items() if accepted[:2] not in found)

    def outdated(self, findings: Iterable[Finding]) -> list[int]:
        """Lines that accept findings for earlier files of the case."""
        found = {accepted for accepted in map(_acceptance, findings) if accepted}
        codes = {accepted[:2] for accepted in found}
        return sorted(
            number
            for accepted, number in self.lines.items()
            if accepted[:2] in codes and accepted not in found
        )


def format_acceptances(findings: Iterable[Finding]) -> str:
    """Return a file for the hospital to complete: a line for each finding of a case that can be accepted.

    Notes are left out: there is nothing in them to decide. The hospital writes who accepts a finding.

    Args:
        findings: What was found.
    """
    wanted = dict.fromkeys(
        (one.case_id, one.code.value, one.files)
        for one in findings
        if one.case_id is not None and one.code.acceptable and one.severity is not Severity.INFO
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows((*one, "", "") for one in wanted)
    return text.getvalue()


def _acceptance(finding: Finding) -> Acceptance | None:
    if finding.case_id is None:
        return None
    return normalize_unicode(finding.case_id), finding.code, finding.files


def _code(name: str, path: Path, number: int) -> ProblemCode:
    code = find_code(name.lower())
    if code is None:
        # The cell may hold a case's id, where columns were exchanged.
        nearest = difflib.get_close_matches(name.lower(), [one.value for one in known_codes()], n=1)
        hint = f"did you mean {nearest[0]}? docs" if nearest else "docs"
        raise ConfigurationError(
            f"{path}, line {number}: the value under code is not a known one; {hint}/data.md lists the codes."
        )
    if not code.acceptable:
        raise ConfigurationError(
            f"{path}, line {number}: {code.value} can't be accepted, as the case can't be read as it is or "
            f"patients would mix. {code.remedy}"
        )
    return code
