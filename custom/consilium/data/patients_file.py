"""The patients file, in which a hospital declares its cases' patients."""

from __future__ import annotations

import csv
import io
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from consilium.counts import counted
from consilium.data.case import FolderError
from consilium.data.codes import DataCode
from consilium.data.visits import normalize_unicode

_CASE = ("case", "case_id")
_PATIENT = ("patient", "patient_id")
_PARTICIPANT = "participant_id"
_SEPARATORS = "-_. "
_SEPARATOR_LINE = re.compile(r"(?i)sep=.")
_FILE_NAME = re.compile(r"(?i)[/\\]|\.nii(?:\.gz)?$")
_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")

_KINDS: Final[tuple[tuple[Callable[[str], str], str], ...]] = (
    (str.casefold, "in capital letters alone"),
    (
        lambda text: _ZEROS.sub("", text).casefold(),
        "in leading zeros, which Excel removes unless the column is imported as text",
    ),
    (lambda text: re.sub(r"[-_. ]", "", text).casefold(), "in hyphens, dots or spaces alone"),
)


@dataclass(frozen=True)
class PatientsFile:
    """The hospital's declaration of patients.

    Args:
        path: The file.
        cases: Case id to patient.
        lines: Case id to the line that declares it.
        participants: Patients whose cases are those with their name, alone or before a separator (BIDS).
    """

    path: Path
    cases: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)
    participants: frozenset[str] = frozenset()

    def patient_of(self, case_id: str) -> str | None:
        """Return the patient of a case, None where the file doesn't say; the longest participant counts."""
        name = normalize_unicode(case_id)
        if name in self.cases:
            return self.cases[name]
        starts = (name[:end] for end in range(len(name), 0, -1) if name[end : end + 1] in _SEPARATORS)
        return next((start for start in starts if start in self.participants), None)


def read_patients_file(path: Path) -> PatientsFile:
    """Read which cases are of one patient.

    Two columns, `case` and `patient`, separated by commas, semicolons or tabs; or BIDS' `participants.tsv`,
    of which only `participant_id` is read.

    Args:
        path: The file, in UTF-8.

    Raises:
        FolderError: It can't be read, lacks a column, leaves a cell empty or gives a case to two patients.
    """
    try:
        content = path.read_bytes()
        # Excel's "Unicode text"
        text = content.decode("utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")
    except OSError as error:
        raise unusable_file(path, f"can't be read ({error.strerror or error})") from error
    except UnicodeError as error:
        raise unusable_file(path, "is not UTF-8 text; in Excel, save it as 'CSV UTF-8'") from error
    rows = list(_rows(path, text))
    if not rows:
        raise unusable_file(path, "is empty")
    heads = [cell.lower() for cell in rows[0][1]]
    if _PARTICIPANT in heads:
        column = heads.index(_PARTICIPANT)
        return PatientsFile(
            path, participants=frozenset(row[0] for _, row in _columns(path, rows[1:], [column]))
        )
    case = next((heads.index(name) for name in _CASE if name in heads), None)
    patient = next((heads.index(name) for name in _PATIENT if name in heads), None)
    if case is not None and patient is not None:
        return _declare(path, _columns(path, rows[1:], [case, patient], width=len(heads)))
    if len(heads) == 2:
        return _declare(path, _columns(path, rows, [0, 1], width=2))
    columns = counted(len(heads), "column")
    raise unusable_file(path, f'has {columns}, and its first line does not name "case" and "patient"')


def explain_unknown_id(written: Collection[str], case_ids: Collection[str]) -> Iterator[str]:
    """Explain why ids in a file differ from those of the cases, without naming any.

    Args:
        written: Ids in the file that no case has.
        case_ids: The cases.

    Returns:
        Each kind of mistake, and how many ids it explains.
    """
    cases = {normalize_unicode(case_id) for case_id in case_ids}
    rest = set(written) - cases
    for spell, what in _KINDS:
        spelled = {spell(case_id) for case_id in cases}
        alike = {one for one in rest if spell(one) in spelled}
        if alike:
            yield f"ids that differ from a case's {what}: {len(alike)}"
        rest -= alike
    if files := sum(bool(_FILE_NAME.search(one)) for one in rest):
        yield f"names of files or folders, where ids of cases are wanted: {files}"


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Lines that aren't empty, with their number."""
    if "\0" in text:
        raise unusable_file(path, "is not plain text; save it as 'CSV UTF-8'")
    first, _, rest = text.lstrip().partition("\n")
    if _SEPARATOR_LINE.fullmatch(first.strip()):  # for Excel
        text = f"\n{rest}"
        first = rest.lstrip().partition("\n")[0]
    delimiter = next((one for one in "\t;" if one in first), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            cells = [normalize_unicode(cell.strip()) for cell in row]
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise unusable_file(path, f"is not valid CSV in line {reader.line_num} ({error})") from error


def _columns(
    path: Path, rows: Iterable[tuple[int, list[str]]], columns: Sequence[int], *, width: int | None = None
) -> Iterator[tuple[int, list[str]]]:
    """The wanted cells of each line; cells beyond the header's columns have moved the others.

    Args:
        path: For the error.
        rows: Lines with their number.
        columns: Those that are wanted.
        width: How many columns the file has; None where more of them do no harm.
    """
    for line, row in rows:
        cells = [row[column] if column < len(row) else "" for column in columns]
        if not all(cells):
            raise unusable_file(path, f"lacks a case or a patient in line {line}")
        if width is not None and any(row[width:]):
            raise unusable_file(
                path,
                f"has more than {counted(width, 'column')} in line {line}; put an id with a comma in "
                "quotation marks",
            )
        yield line, cells


def _declare(path: Path, rows: Iterable[tuple[int, list[str]]]) -> PatientsFile:
    patients: dict[str, str] = {}
    lines: dict[str, int] = {}
    declared = [(line, case, patient) for line, (case, patient) in rows]
    for line, case, patient in declared:
        if case in lines:
            twice = f"names one case in line {lines[case]} and again in line {line}"
            if len({one for _, _, one in declared}) == len(declared):
                twice += ", and no patient twice: exchange the columns, or their names in line 1"
            raise unusable_file(path, twice)
        patients[case], lines[case] = patient, line
    return PatientsFile(path, patients, lines)


def unusable_file(path: Path, what: str) -> FolderError:
    """Return the error about a patients file.

    Args:
        path: The file.
        what: What is wrong with it, to follow its name.
    """
    return FolderError(
        DataCode.PATIENTS_FILE,
        f"The patients file {path} {what}. Wanted: two columns, case,patient, with a line for each case. "
        "consilium check DIR --write-patients FILE writes one to correct.",
    )
