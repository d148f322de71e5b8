"""Patients who withdrew: their cases are left out of every job, as if they were not in the folder."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from consilium.counts import counted
from consilium.data.cohort import Cohort
from consilium.data.files import readable
from consilium.data.visits import normalize_unicode
from consilium.errors import ConfigurationError

_logger = logging.getLogger(__name__)

_MOST_BYTES: Final = 16 * 2**20


@dataclass(frozen=True)
class Withdrawals:
    """List of patients who withdrew; it never leaves the hospital.

    Args:
        ids: Ids of patients, or of cases, in any capitalization.
    """

    ids: frozenset[str] = frozenset()

    @classmethod
    def read(cls, path: Path | None) -> Withdrawals:
        """Read a list: an id a line; empty lines, and lines that begin with #, are none.

        Args:
            path: The file; None for no list.

        Raises:
            ConfigurationError: It can't be read. Nothing is trained then: it may name somebody.
        """
        if path is None:
            return cls()
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise ValueError(f"it has more than {_MOST_BYTES} bytes")
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"withdrawn_patients: {readable(path)} can't be read ({error}); write one id a line into it, "
                "as UTF-8 text, or remove the setting if nobody has withdrawn"
            ) from error
        lines = (line.strip() for line in text.splitlines())
        return cls(frozenset(_fold(line) for line in lines if line and not line.startswith("#")))

    def leave_out(self, cohort: Cohort) -> Cohort:
        """Return a cohort without the cases of these patients: all of them, also where one case is listed."""
        if not self.ids:
            return cohort
        patients = cohort.patients
        names = {
            case_id: self.ids & {_fold(case_id), _fold(patients.of(case_id))} for case_id in patients.case_ids
        }
        withdrawn = frozenset(patients.of(case_id) for case_id, listed in names.items() if listed)
        found = set().union(*names.values())

        def stays(case_id: str) -> bool:
            return patients.of(case_id) not in withdrawn

        if self.ids - found:
            _logger.warning(
                "%s of the list of withdrawn patients (withdrawn_patients) %s no case in the dataset folder: "
                "check that they are spelled as there",
                counted(len(self.ids - found), "entry", "entries"),
                "has" if len(self.ids - found) == 1 else "have",
            )
        return replace(
            cohort,
            withdrawn=withdrawn,
            cases=tuple(case for case in cohort.cases if stays(case.id)),
            problems=tuple(one for one in cohort.problems if one.case_id is None or stays(one.case_id)),
            left_out=tuple(case for case in cohort.left_out if stays(case.id)),
            notices=tuple(one for one in cohort.notices if one.case_id is None or stays(one.case_id)),
        )


def _fold(text: str) -> str:
    return normalize_unicode(text).casefold()
