"""Record of the sites' answers to a readiness check."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from consilium.counts import counted, list_counts
from consilium.data.files import private_folder, write_atomically
from consilium.privacy.demand import PrivacyDemand
from consilium.privacy.promise import MOST_EPSILON, PrivacyLevel
from consilium.records.bounds import (
    BySite,
    Code,
    CodeCounts,
    Finite,
    Label,
    MinimumCount,
    MissingSite,
    MissingTargets,
    Moment,
    Reason,
    Record,
    Versions,
    WithheldCount,
    Word,
    known_word,
)
from consilium.records.reading import read_record
from consilium.settings import MAX_SITES
from consilium.tasks.base import Task

READINESS_FILE = "readiness.json"
"""Name of the record in the server's run folder."""

Ability = Literal["train", "evaluate", "nothing"]
"""What a site can do in a training job."""


Pixels = Annotated[int, Field(strict=True, ge=1, le=100_000)]
Millimeters = Annotated[Finite, Field(gt=0, le=1000)]
Gibibytes = Annotated[Finite, Field(ge=0, le=1e9)]


class Grid(Record):
    """Grid of a site's images: medians over its patients with usable cases."""

    shape: tuple[Pixels, ...] = Field(
        min_length=2, max_length=3, description="Pixels or voxels along each axis of the stored images."
    )
    spacing_mm: tuple[Millimeters, ...] | None = Field(
        default=None, description="Their edges along the same axes; null where the images say none."
    )

    @model_validator(mode="after")
    def _check_axes(self) -> Self:
        if self.spacing_mm is not None and len(self.spacing_mm) != len(self.shape):
            raise ValueError("an axis has no spacing, or a spacing has no axis")
        return self


class Hardware(Record):
    """Resources of the site's machine for a job."""

    cores: int = Field(strict=True, ge=1, le=100_000)
    memory_gib: Gibibytes = Field(gt=0)
    gpus_gib: list[Gibibytes] = Field(default_factory=list, max_length=64, description="Memory of each GPU.")
    free_disk_gib: Gibibytes = Field(description="Where the site keeps its cache.")


class StatedDemand(Record):
    """What a hospital demands of a job for its patients' privacy; nothing about what they have spent."""

    level: Literal["none", "reconstruction", "formal"] = "none"
    job_epsilon: Annotated[Finite, Field(gt=0, le=MOST_EPSILON)] | None = None
    min_sites: Annotated[int, Field(strict=True, ge=1, le=MAX_SITES)] = 1
    secure_aggregation: Annotated[bool, Field(strict=True)] = False
    updates_to_hospitals: Annotated[bool, Field(strict=True)] = False

    @classmethod
    def of(cls, demand: PrivacyDemand) -> StatedDemand | None:
        """Return what a hospital lets its site state; None if that is nothing."""
        if not demand.stated:
            return None
        return cls(
            level=demand.level.value,
            job_epsilon=demand.job_epsilon,
            min_sites=demand.min_sites,
            secure_aggregation=demand.secure_aggregation,
            updates_to_hospitals=demand.updates_to_hospitals,
        )

    @property
    def demand(self) -> PrivacyDemand:
        """The demand, as far as it is stated."""
        return PrivacyDemand(
            level=PrivacyLevel(self.level),
            job_epsilon=self.job_epsilon,
            min_sites=self.min_sites,
            secure_aggregation=self.secure_aggregation,
            updates_to_hospitals=self.updates_to_hospitals,
        )

    @model_validator(mode="after")
    def _is_a_demand(self) -> Self:
        self.demand  # noqa: B018 - a demand that no hospital can have is an error
        return self


class SiteReadiness(Record):
    """One site's answer: counts and codes, nothing about a patient."""

    can: Ability
    role: Literal["trains", "evaluates"] = Field(default="trains", description="What the hospital decided.")
    reason: Reason | None = Field(default=None, description="Why it can't train.")
    code: Code = Field(default=None, description="What kind of reason it is.")
    usable_cases: WithheldCount = Field(default=0, description="Labeled cases without an error.")
    usable_patients: WithheldCount = Field(default=0, description="Patients whom these cases are of.")
    validates: bool = Field(
        default=False, description="Whether it has enough validation patients to help to choose models."
    )
    tests: bool = Field(default=False, description="Whether it has enough test patients to be reported on.")
    score_minimum: MinimumCount | None = Field(
        default=None, description="Fewest patients that scores are of."
    )
    score_setting: Literal["min_training_patients", "min_count"] | None = Field(
        default=None, description="The hospital's setting that says so."
    )
    left_out: CodeCounts = Field(default_factory=dict, description="Cases with an error, by code.")
    noted: CodeCounts = Field(default_factory=dict, description="Findings of lower severity, by code.")
    accepted: CodeCounts = Field(
        default_factory=dict, description="Findings that the hospital looked at and accepted, by code."
    )
    layout: Word | None = None
    label_convention: Word | None = None
    missing_targets: MissingTargets = Field(default_factory=list)
    grid: Grid | None = Field(default=None, description="Null for fewer patients than the site's minimum.")
    privacy: StatedDemand | None = Field(
        default=None, description="What it demands of a job; null where the hospital doesn't state it."
    )
    hardware: Hardware
    versions: Versions = Field(default_factory=dict)

    def keep_known_words(self, task: Task) -> None:
        """Replace a layout, a label convention or a target that isn't one of the task's."""
        self.layout = known_word(self.layout, task.cases.layouts)
        self.label_convention = known_word(self.label_convention, task.cases.conventions)
        self.missing_targets = [one.name for one in task.targets if one.name in self.missing_targets]

    @property
    def withholds_scores(self) -> bool:
        """Whether it would train and send no score of any model; False where it did not say its minimum."""
        silent = not (self.validates or self.tests)
        return self.can == "train" and silent and self.score_minimum is not None


class ReadinessRecord(Record):
    """All sites' answers to one check."""

    job: Label
    task: Word = Field(description="What is to be learned.")
    title: Label = Field(description="Of the task, for people.")
    created: Moment = Field(default_factory=time.time, description="Unix time in seconds.")
    sites: BySite[SiteReadiness] = Field(default_factory=dict)
    reason: Reason | None = Field(default=None, description="Why the check did not end; null if it did.")
    missing: BySite[MissingSite] = Field(
        default_factory=dict, description="Sites without an answer that counts, and why."
    )

    @property
    def able_to_train(self) -> list[str]:
        """Sites that can train, by name."""
        return sorted(name for name, site in self.sites.items() if site.can == "train")

    @property
    def not_ready(self) -> list[str]:
        """Sites that can't do what their hospitals decided, or did not answer, by name."""
        able = {
            name
            for name, site in self.sites.items()
            if site.can == "train" or (site.can == "evaluate" and site.role == "evaluates")
        }
        return sorted((self.sites.keys() | self.missing.keys()) - able)

    @property
    def without_scores(self) -> list[str]:
        """Sites that would train and send no score, by name."""
        return sorted(name for name, site in self.sites.items() if site.withholds_scores)

    @property
    def scores_nothing(self) -> bool:
        """Whether a training would end without any score, because all sites would withhold theirs."""
        others = [site for site in self.sites.values() if not site.withholds_scores and site.can != "nothing"]
        return bool(self.without_scores) and not others

    def save(self, path: Path) -> None:
        """Write the record into a folder, which is made where needed; a crash leaves the one before it."""
        private_folder(path.parent, ours=False)
        write_atomically(path, self.model_dump_json(indent=1).encode())

    @classmethod
    def load(cls, path: Path) -> ReadinessRecord:
        """Read a record.

        Raises:
            FileNotFoundError: If there is none.
            ConfigurationError: If it can't be read.
        """
        return read_record(cls, path)


def explain_withheld(site: SiteReadiness) -> str:
    """Say in a few words why a site that would train sends no score."""
    few = f"fewer than {counted(site.score_minimum, 'patient')}"
    return f"no scores: {few} to validate and to test on ({site.score_setting})"


def explain(name: str, record: ReadinessRecord) -> str:
    """Say in one line why a site can't train, by its codes; `ready` if it can, with what it lacks."""
    if name not in record.sites:
        return str(record.missing.get(name, "not in the check"))
    site = record.sites[name]
    if site.can == "train":
        return f"ready, but {explain_withheld(site)}" if site.withholds_scores else "ready"
    codes = list_counts(site.left_out)
    return f"{site.reason or 'it only evaluates'}{f' (left out: {codes})' if codes else ''}"
