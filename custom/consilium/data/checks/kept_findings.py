"""Store of the findings in each case."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from consilium.data.case import Case
from consilium.data.case_boundary import PASSING
from consilium.data.case_check import CaseCheck, fingerprint_files
from consilium.data.case_format import CaseFormat
from consilium.data.case_preparation import Examination
from consilium.data.case_products import CaseProduct
from consilium.data.checks.accepted_findings import AcceptedFindings
from consilium.data.checks.single_case import check_examined
from consilium.data.files import private_folder
from consilium.data.problem_code import Severity
from consilium.data.sealed import read_sealed, write_sealed

_FOLDER: Final = "findings"
_NAME_BYTES: Final = 20


@dataclass(frozen=True)
class KeptFindings(CaseProduct[CaseCheck]):
    """Stored findings of cases, one small file each; a case with an error is not processed further.

    Args:
        folder: A folder of the site's own, never the dataset; made if missing.
        case_format: How the cases are read, and what is checked.
        accepted: What the hospital has looked at and accepts.
    """

    step = "checking cases"

    folder: Path
    case_format: CaseFormat
    accepted: AcceptedFindings = field(default_factory=AcceptedFindings)

    def begin(self, keys: Collection[str]) -> None:
        """Make the folder."""
        private_folder(self.folder / _FOLDER)

    def recall(self, key: str, case: Case, convention: str | None) -> CaseCheck | None:
        """What was found in these files, under these names, by the checks as they are."""
        return read_sealed(self._path(key, case), self.case_format.checks.check_type)

    def make(
        self, key: str | None, case: Case, convention: str | None, examination: Examination[Any]
    ) -> CaseCheck:
        """Run all checks, and store findings that don't depend on the machine or account."""
        found = check_examined(case, convention, self.case_format, examination)
        check = found.model_copy(update={"files": fingerprint_files(key)})
        if key is not None and not any(finding.code in PASSING for finding in check.read):
            write_sealed(self._path(key, case), check)
        return check

    def usable(self, value: CaseCheck) -> bool:
        """Whether there is no error among the findings that the hospital doesn't accept."""
        return all(finding.severity is not Severity.ERROR for finding in value.findings(self.accepted.apply))

    def _path(self, key: str, case: Case) -> Path:
        # Findings name the case and its files.
        names = sorted({volume.path.name for volume in case.images.values()})
        target = case.target_file.path.name if case.target_file else None
        problem = (self.case_format.name, self.case_format.checks.version, self.case_format.inputs)
        lacking = [image for image in self.case_format.may_lack if image not in case.images]
        parts = (*problem, key, case.id, names, target, *([lacking] if lacking else []))
        name = hashlib.blake2b(repr(parts).encode(errors="backslashreplace"), digest_size=_NAME_BYTES)
        return self.folder / _FOLDER / f"{name.hexdigest()}.json"
