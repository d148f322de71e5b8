"""The patient of each case, by the hospital's declaration or the case's id."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from consilium.data.files import readable
from consilium.data.patients_file import PatientsFile, explain_unknown_id, read_patients_file, unusable_file
from consilium.data.visits import PatientNames, normalize_unicode

PARTICIPANTS_FILE: Final = "participants.tsv"
"""BIDS' list of participants, in the top folder of a dataset."""


@dataclass(frozen=True)
class Patients:
    """Patients of all cases of a site, including those left out.

    Args:
        case_ids: All cases of the site.
        declared: What the hospital declared; None for nothing.
        places: Case id to its folder, relative to the dataset folder.
        names: How ids name patients.
    """

    case_ids: frozenset[str] = frozenset()
    declared: PatientsFile | None = None
    places: Mapping[str, Path] = field(default_factory=dict)
    names: PatientNames = field(default_factory=PatientNames)

    def of(self, case_id: str) -> str:
        """Return the patient of a case.

        A case that isn't declared belongs to the patient that its id names, or to whom the declared cases of
        that patient were given.
        """
        if patient := self._stated(case_id):
            return patient
        named = self.names.patient_of(case_id)
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
        possible = {
            **self.names.shared_folders(self.places),
            **self.names.possible_visits(self.case_ids),
        }
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
                relatives[self.names.patient_of(case_id)].add(patient)
        return relatives

    def _stated(self, case_id: str) -> str | None:
        return self.declared.patient_of(case_id) if self.declared else None


def find_patients(
    case_ids: Iterable[str],
    *,
    folder: Path,
    names: PatientNames,
    file: Path | None = None,
    places: Mapping[str, Path] | None = None,
) -> Patients:
    """Return the patients of a site's cases.

    Args:
        case_ids: All cases, those that are left out among them.
        folder: The dataset folder, which may hold BIDS' `participants.tsv`.
        names: How ids name patients.
        file: What the hospital names in its settings; it counts instead.
        places: Case id to its folder, for those of which it is known.

    Raises:
        FolderError: The file can't be read, or contradicts itself.
    """
    standard = folder / PARTICIPANTS_FILE
    below = {case: place.relative_to(folder) for case, place in (places or {}).items()}
    if file is None and not standard.is_file():
        return Patients(frozenset(case_ids), places=below, names=names)
    patients = Patients(frozenset(case_ids), read_patients_file(file or standard), below, names)
    if file is not None and len(patients.undeclared) == len(patients.case_ids) > 0:
        raise unusable_file(file, f"names none of the cases of the folder{_explain_no_match(patients)}")
    return patients


def _explain_no_match(patients: Patients) -> str:
    file = patients.declared
    if file is None or not file.cases:
        return ""
    known = {normalize_unicode(case_id) for case_id in patients.case_ids}
    if known.intersection(file.cases.values()):
        return "; cases stand where patients are wanted: exchange the columns, or their names in line 1"
    return "".join(f"; {why}" for why in explain_unknown_id(file.cases, known))


def format_patients_file(patients: Patients) -> str:
    """Return a file for the hospital to correct: every case, with those that may be one patient as one.

    Names that are not UTF-8 are left out.
    """
    proposed = {case: patients.of(case) for case in patients.case_ids if readable(case) == case}
    for patient, group in patients.unclear().items():
        merged = {proposed[case] for case in group}
        proposed |= {case: patient for case, before in proposed.items() if before in merged}
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("case", "patient"), *sorted(proposed.items())])
    return text.getvalue()
