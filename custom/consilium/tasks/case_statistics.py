"""Statistics features of one case, stored so that the case is read once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from consilium.data.case import Case
from consilium.data.case_boundary import case_boundary
from consilium.data.case_products import CaseProduct
from consilium.data.files import private_folder
from consilium.data.sealed import read_sealed, write_sealed
from consilium.tasks.features import CaseValue, StatisticsFeatures

_VERSION: Final = 5
"""Raised when values are kept in another form."""

_FOLDER: Final = "statistics"


class CaseStatistics(BaseModel):
    """Statistics of one case. They describe one patient and stay at the site.

    Attributes:
        values: By feature name; a feature that the case has nothing of is not there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    values: dict[str, CaseValue]


@dataclass(frozen=True)
class KeptStatistics(CaseProduct[CaseStatistics]):
    """The numbers of cases, one small file each.

    Args:
        folder: The site's cache.
        task: Name of the task: two tasks count different things of the same files.
        features: What the task counts.
    """

    step = "describing cases"

    folder: Path
    task: str
    features: StatisticsFeatures

    def begin(self, keys: Collection[str]) -> None:
        """Make the folder."""
        private_folder(self.folder / _FOLDER)

    def recall(self, key: str, case: Case, convention: str | None) -> CaseStatistics | None:
        """The numbers of these files."""
        return read_sealed(self._path(key), CaseStatistics)

    def make(self, key: str | None, case: Case, convention: str | None, examination: Any) -> CaseStatistics:
        """Work the numbers out and keep them."""
        native = examination.require_native()
        with case_boundary(case.id, case.place, "described"):
            statistics = CaseStatistics(values=dict(self.features.describe(native)))
        if key is not None:
            write_sealed(self._path(key), statistics)
        return statistics

    def _path(self, key: str) -> Path:
        return self.folder / _FOLDER / f"{key}-{self.task}-{_VERSION}.{self.features.version}.json"
