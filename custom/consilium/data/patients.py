"""The patient of each case: as the hospital declared it in a file, else by the case's id."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from consilium.counts import counted
from consilium.data.case import FolderError
from consilium.data.codes import DataCode
from consilium.data.files import readable
from consilium.data.mistyped_ids import explain_unknown_id
from consilium.data.visits import normalize_unicode, patient_by_name, possible_visits, shared_folders

PARTICIPANTS_FILE: Final = "participants.tsv"
"""BIDS' list of participants, in the top folder of a dataset."""

_CASE = ("case", "case_id")
_PATIENT = ("patient", "patient_id")
_PARTICIPANT = "participant_id"
_SEPARATORS = "-_. "
_SEPARATOR_LINE = re.compile(r"(?i)sep=.")


@dataclass(frozen=True)
class PatientsFile:
    """What a hospital declared.

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


@dataclass(frozen=True)
class Patients:
    """Knows the patient of every case of a site, also of one that is left out.

    Args:
        case_ids: All cases of the site.
        declared: What the hospital declared; None for nothing.
        places: Case id to its folder, relative to the dataset folder.
    """

    case_ids: frozenset[str] = frozenset()
    declared: PatientsFile | None = None
    places: Mapping[str, Path] = field(default_factory=dict)

    def of(self, case_id: str) -> str:
        """Return the patient of a case.

        A case that isn't declared belongs to the patient that its id names, or to whom the declared cases of
        that patient were given.
        """
        if patient := self._stated(case_id):
            return patient
        named = patient_by_name(case_id)
        relatives = self._relatives.get(named, set())
        return next(iter(relatives)) if len(relatives) == 1 else named

    @property
    def examinations(self) -> Mapping[str, str]:
        """Case id to patient, of all cases of the site and of those that are declared and aren't there."""
        gone = self.declared.cases.items() if self.declared else ()
        spelled = {
            unicodedata.normalize(form, case): patient for case, patient in gone for form in ("NFC", "NFD")
        }
        return {**spelled, **{case: self.of(case) for case in self.case_ids}}

    @property
    def unknown_lines(self) -> list[int]:
        """Lines that declare a case which isn't there: its id is mistyped, or it has gone."""
        known = {normalize_unicode(case_id) for case_id in self.case_ids}
        lines = self.declared.lines if self.declared else {}
        return sorted(line for case, line in lines.items() if case not in known)

    @property
    def line_doubts(self) -> list[str]:
        """What may be wrong with the ids in these lines."""
        if self.declared is None:
            return []
        lines, unknown = self.declared.lines, set(self.unknown_lines)
        ids = [case for case, line in lines.items() if line in unknown]
        header = min(lines.values(), default=0)
        doubts = list(explain_unknown_id(ids, self.case_ids))
        if header in unknown:
            doubts.append(f'line {header} may be a header whose columns are not named "case" and "patient"')
        return doubts

    @property
    def undeclared(self) -> list[str]:
        """Cases that the file, where there is one, leaves out."""
        return sorted(case for case in self.case_ids if self._stated(case) is None) if self.declared else []

    def unclear(self) -> dict[str, list[str]]:
        """Return groups of cases that may be of one patient and are taken for several, by ids and folders.

        Returns:
            A name for the patient to the cases; none of which all are declared.
        """
        undeclared = {case for case in self.case_ids if self._stated(case) is None}
        groups: dict[str, list[str]] = {}
        possible = {**shared_folders(self.places), **possible_visits(self.case_ids)}
        for stem, group in possible.items():
            if undeclared.intersection(group) and len({self.of(case) for case in group}) > 1:
                declared = {self.of(case) for case in group if case not in undeclared}
                groups[min(declared, default=stem)] = group
        return groups

    @cached_property
    def _relatives(self) -> Mapping[str, set[str]]:
        """Whom the declared cases were given to, by the patient that their ids name."""
        relatives: dict[str, set[str]] = defaultdict(set)
        for case_id in self.case_ids:
            if patient := self._stated(case_id):
                relatives[patient_by_name(case_id)].add(patient)
        return relatives

    def _stated(self, case_id: str) -> str | None:
        return self.declared.patient_of(case_id) if self.declared else None


def find_patients(
    case_ids: Iterable[str],
    *,
    folder: Path,
    file: Path | None = None,
    places: Mapping[str, Path] | None = None,
) -> Patients:
    """Return the patients of a site's cases.

    Args:
        case_ids: All cases, those that are left out among them.
        folder: The dataset folder, which may hold BIDS' `participants.tsv`.
        file: What the hospital names in its settings; it counts instead.
        places: Case id to its folder, for those of which it is known.

    Raises:
        FolderError: The file can't be read, or contradicts itself.
    """
    standard = folder / PARTICIPANTS_FILE
    below = {case: place.relative_to(folder) for case, place in (places or {}).items()}
    if file is None and not standard.is_file():
        return Patients(frozenset(case_ids), places=below)
    patients = Patients(frozenset(case_ids), read_patients_file(file or standard), below)
    if file is not None and len(patients.undeclared) == len(patients.case_ids) > 0:
        raise _unusable(file, f"names none of the cases of the folder{_explain_no_match(patients)}")
    return patients


def _explain_no_match(patients: Patients) -> str:
    file = patients.declared
    if file is None or not file.cases:
        return ""
    known = {normalize_unicode(case_id) for case_id in patients.case_ids}
    if known.intersection(file.cases.values()):
        return "; cases stand where patients are wanted: exchange the columns, or their names in line 1"
    return "".join(f"; {why}" for why in explain_unknown_id(file.cases, known))


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
        raise _unusable(path, f"can't be read ({error.strerror or error})") from error
    except UnicodeError as error:
        raise _unusable(path, "is not UTF-8 text; in Excel, save it as 'CSV UTF-8'") from error
    rows = list(_rows(path, text))
    if not rows:
        raise _unusable(path, "is empty")
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
    raise _unusable(path, f'has {columns}, and its first line does not name "case" and "patient"')


def format_patients_file(patients: Patients) -> str:
    """Return a file for the hospital to correct: every case, with those that may be one patient as one.

    Names that are no UTF-8 can't stand in it.
    """
    proposed = {case: patients.of(case) for case in patients.case_ids if readable(case) == case}
    for patient, group in patients.unclear().items():
        merged = {proposed[case] for case in group}
        proposed |= {case: patient for case, before in proposed.items() if before in merged}
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("case", "patient"), *sorted(proposed.items())])
    return text.getvalue()


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Lines that aren't empty, with their number."""
    if "\0" in text:
        raise _unusable(path, "is not plain text; save it as 'CSV UTF-8'")
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
        raise _unusable(path, f"is no CSV in line {reader.line_num} ({error})") from error


def _columns(
    path: Path, rows: Iterable[tuple[int, list[str]]], columns: Sequence[int], *, width: int | None = None
) -> Iterator[tuple[int, list[str]]]:
    """The wanted cells of each line; what stands beyond the header's columns moved the others.

    Args:
        path: For the error.
        rows: Lines with their number.
        columns: Those that are wanted.
        width: How many columns the file has; None where more of them do no harm.
    """
    for line, row in rows:
        cells = [row[column] if column < len(row) else "" for column in columns]
        if not all(cells):
            raise _unusable(path, f"lacks a case or a patient in line {line}")
        if width is not None and any(row[width:]):
            raise _unusable(
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
            raise _unusable(path, twice)
        patients[case], lines[case] = patient, line
    return PatientsFile(path, patients, lines)


def _unusable(path: Path, what: str) -> FolderError:
    return FolderError(
        DataCode.PATIENTS_FILE,
        f"The patients file {path} {what}. Wanted: two columns, case,patient, with a line for each case. "
        "consilium check DIR --write-patients FILE writes one to correct.",
    )
