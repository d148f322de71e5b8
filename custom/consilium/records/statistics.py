"""Record of a statistics job: histograms over patients, and each site's report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from consilium.counts import counted
from consilium.data.files import write_atomically
from consilium.errors import ConfigurationError
from consilium.records.bounds import (
    MOST_CASES,
    CaseCount,
    Code,
    CodeCounts,
    Finite,
    Label,
    LongReason,
    MissingSite,
    Reason,
    Record,
    SiteLabel,
    Versions,
    WithheldCount,
    Word,
)
from consilium.tasks.features import DriftLimits, FeatureGroup, Role

STATISTICS_FILE = "statistics.json"
"""Name of the record in the server's run folder; `download_job` includes it."""

MOST_BINS: Final = 1000
"""Of one histogram."""


class SiteAnswer(Record):
    """A site's answer besides its histograms: counts and codes, nothing about a patient."""

    patients: WithheldCount = 0
    cases: WithheldCount = Field(default=0, description="Usable examinations.")
    left_out: CodeCounts = Field(default_factory=dict, description="Cases left out, by code.")
    label_convention: Word | None = None
    min_count: CaseCount = Field(ge=1, description="Fewest patients that a number of this site is about.")
    reason: Reason | None = Field(default=None, description="Why it has no statistics.")
    code: Code = Field(default=None, description="What kind of reason it is.")
    versions: Versions = Field(default_factory=dict)


class SiteHistogram(Record):
    """One site's histogram."""

    patients: CaseCount
    bins: list[Annotated[Finite, Field(ge=0, le=MOST_CASES)]] = Field(
        max_length=MOST_BINS, description="Patients in each bin; all 0 where all counts are withheld."
    )

    @property
    def reported(self) -> bool:
        """Whether it has any content."""
        return sum(self.bins) > 0


class FeatureRecord(Record):
    """A feature and its histograms, site by site."""

    group: FeatureGroup
    of: str
    title: str = Field(description="Of what it is about, for people.")
    low: float
    high: float
    sites: dict[SiteLabel, SiteHistogram] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the feature."""
        return f"{self.group.name}_{self.of}"

    @property
    def reported(self) -> dict[str, NDArray[np.float64]]:
        """The histograms with content, `(bins,)` each, by site."""
        return {name: np.asarray(one.bins) for name, one in sorted(self.sites.items()) if one.reported}

    def centers(self, bins: int) -> NDArray[np.float64]:
        """Return the centers of the bins, `(bins,)`."""
        edges = np.linspace(self.low, self.high, bins + 1)
        return (edges[:-1] + edges[1:]) / 2


class StatisticsRecord(Record):
    """A whole run."""

    job: Label
    task: Word
    title: Label = Field(description="Of the task, for people.")
    drift: DriftLimits | None = Field(default=None, description="What was measured for the task.")
    status: Literal["running", "finished", "failed"] = "running"
    reason: LongReason | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    sites: dict[SiteLabel, SiteAnswer] = Field(default_factory=dict)
    missing: dict[SiteLabel, MissingSite] = Field(
        default_factory=dict, description="Sites without statistics, and why."
    )
    features: dict[str, FeatureRecord] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict, description="At the server.")

    def groups(self, *roles: Role) -> dict[str, list[FeatureRecord]]:
        """Return the features of these roles by their group, in the task's order."""
        found: dict[str, list[FeatureRecord]] = {}
        for one in self.features.values():
            if one.group.role in roles:
                found.setdefault(one.group.name, []).append(one)
        return found

    def of_role(self, role: Role) -> list[FeatureRecord]:
        """Return the features of a role, in the task's order."""
        return [one for one in self.features.values() if one.group.role == role]

    def save(self, folder: Path) -> None:
        """Write the record into a folder; a crash leaves the one before it."""
        write_atomically(folder / STATISTICS_FILE, self.model_dump_json(indent=1).encode())

    @classmethod
    def load(cls, folder: Path) -> StatisticsRecord:
        """Read the record of a run folder, wherever a download put it below that.

        Raises:
            ConfigurationError: If there is none, several, or one that can't be read.
        """
        found = sorted(folder.rglob(STATISTICS_FILE)) if folder.is_dir() else [folder]
        if len(found) != 1 or not found[0].is_file():
            raise ConfigurationError(
                f"{folder} holds {counted(len(found), 'file')} {STATISTICS_FILE}, not one; give the folder "
                "of one "
                "statistics job's result, for example the one that `download_job` made"
            )
        try:
            return cls.model_validate_json(found[0].read_text())
        except (ValidationError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{found[0]} is not a record of statistics: {error}") from None
