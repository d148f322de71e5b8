"""Record of a statistics job: histograms over patients, and each site's report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from consilium.counts import counted
from consilium.data.files import write_atomically
from consilium.errors import ConfigurationError
from consilium.records.bounds import (
    LARGEST_SCORE,
    MOST_CASES,
    BySite,
    CaseCount,
    Code,
    CodeCounts,
    Finite,
    Label,
    LongReason,
    MinimumCount,
    MissingSite,
    Packages,
    Reason,
    Record,
    Score,
    Tree,
    Versions,
    WithheldCount,
    Word,
)
from consilium.records.reading import Contradiction, read_record
from consilium.tasks.features import DriftLimits, FeatureGroup, Role

STATISTICS_FILE = "statistics.json"
"""Name of the record in the server's run folder; `download_job` includes it."""

MOST_BINS: Final = 1000
"""Of one histogram."""

MOST_FEATURES: Final = 200

LARGEST_EXPONENT: Final = 300.0
"""Of a power of ten that is a number."""

ROUNDING: Final = 0.5
"""Patients by which the sum of a histogram may exceed their number: its bins are rounded."""

SMALLEST_SUM: Final = 0.5
"""Of a histogram that isn't empty: at least of one patient, but for rounding."""


class SiteAnswer(Record):
    """A site's answer besides its histograms: counts and codes, nothing about a patient."""

    patients: WithheldCount = 0
    cases: WithheldCount = Field(default=0, description="Usable examinations.")
    left_out: CodeCounts = Field(default_factory=dict, description="Cases left out, by code.")
    label_convention: Word | None = None
    min_count: MinimumCount = Field(description="Fewest patients that a number of this site is about.")
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
    of: Word
    title: Label = Field(description="Of what it is about, for people.")
    low: Score
    high: Score
    sites: BySite[SiteHistogram] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the feature."""
        return f"{self.group.name}_{self.of}"

    @property
    def reported(self) -> dict[str, NDArray[np.float64]]:
        """The histograms with content, `(bins,)` each, by site."""
        return {name: np.asarray(one.bins) for name, one in sorted(self.sites.items()) if one.reported}

    def check_histograms(self) -> None:
        """Check that the range is one, and all histograms have the same bins, each empty or of patients.

        Raises:
            Contradiction: If not.
        """
        place = f"features.{self.name}"
        # The scale is shown as a power of ten.
        largest = LARGEST_EXPONENT if self.group.role == "scale" else LARGEST_SCORE
        if not -largest <= self.low < self.high <= largest:
            raise Contradiction(
                f"{place}.low", allowed=f"below high, within {largest:g}", seen=(self.low, self.high)
            )
        lengths = sorted({len(one.bins) for one in self.sites.values()})
        if len(lengths) > 1 or lengths[:1] in ([0], [1]):
            raise Contradiction(f"{place}.sites", allowed="as many bins each, 2 or more", seen=lengths[:5])
        for site, one in self.sites.items():
            total = sum(one.bins)
            if total and not SMALLEST_SUM <= total <= one.patients + ROUNDING:
                raise Contradiction(
                    f"{place}.sites.{site}.bins",
                    allowed=f"sum of 0, or {SMALLEST_SUM} to {one.patients + ROUNDING}",
                    seen=total,
                )

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
    settings: Tree = Field(default_factory=dict)
    sites: BySite[SiteAnswer] = Field(default_factory=dict)
    missing: BySite[MissingSite] = Field(
        default_factory=dict, description="Sites without statistics, and why."
    )
    features: dict[Word, FeatureRecord] = Field(default_factory=dict, max_length=MOST_FEATURES)
    versions: Packages = Field(default_factory=dict, description="At the server.")

    @property
    def reporting(self) -> set[str]:
        """The sites with a histogram that has any content."""
        return {site for feature in self.features.values() for site in feature.reported}

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
        return read_record(cls, found[0])

    def check_consistency(self) -> None:
        """Check what each field's bounds can't: that features of one kind and their histograms fit together.

        Raises:
            Contradiction: If they don't.
        """
        groups: dict[str, FeatureGroup] = {}
        for name, feature in self.features.items():
            if name != feature.name:
                raise Contradiction(f"features.{name}", allowed=f"the feature {name}", seen=feature.name)
            if groups.setdefault(feature.group.name, feature.group) != feature.group:
                raise Contradiction(
                    f"features.{name}.group",
                    allowed="the group as other features have it",
                    seen=feature.group.name,
                )
            feature.check_histograms()
