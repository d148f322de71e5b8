"""Record of an evaluation of models at every hospital: means, intervals and counts of patients."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from consilium.data.files import private_folder, write_atomically
from consilium.data.split import EvaluatedSet
from consilium.learning.model_store import Digest
from consilium.participant.subgroups import MOST_ATTRIBUTES, MOST_VALUES, SUBGROUP_NAME
from consilium.records.bounds import (
    CaseCount,
    Code,
    CodeCounts,
    Finite,
    Label,
    LongReason,
    MinimumCount,
    MissingSite,
    Moment,
    Reason,
    Record,
    RoundNumber,
    Seconds,
    SiteLabel,
    Versions,
    Word,
    limit_entries,
)
from consilium.records.gain import Gain
from consilium.records.reading import read_record
from consilium.tasks.metrics import MOST_METRICS

EVALUATION_FILE: Final = "model_evaluation.json"
"""Name of the record in the server's run folder."""

_MOST_BINS: Final = 1000

_Key = Annotated[str, Field(strict=True, pattern=r"^[a-z][a-z0-9_]{0,59}$")]
_Subgroup = Annotated[str, Field(strict=True, pattern=SUBGROUP_NAME)]


def _limit(values: object) -> object:
    return limit_entries(values, MOST_METRICS)


class MeasureAnswer(Record):
    """One measure over a site's patients."""

    mean: Finite = Field(description="Over patients; of what is computed from counts, of all cases.")
    interval: tuple[Finite, Finite] | None = Field(
        default=None, description="95 % interval, by bootstrap over patients; null for too few."
    )
    edges: list[Finite] = Field(
        default_factory=list,
        max_length=_MOST_BINS + 1,
        description="Of the bins, some of the public ones; empty where counts stay at the site.",
    )
    counts: list[CaseCount] = Field(
        default_factory=list, max_length=_MOST_BINS, description="Patients in each bin."
    )


class GroupAnswer(Record):
    """One model on a site's patients, or on a subgroup of them."""

    patients: MinimumCount
    cases: MinimumCount
    measures: Annotated[dict[_Key, MeasureAnswer], BeforeValidator(_limit)] = Field(default_factory=dict)
    counts: Annotated[dict[_Key, CaseCount], BeforeValidator(_limit)] = Field(
        default_factory=dict, description="Counts of cases, such as a confusion matrix; those above 0."
    )


LOCAL_MODELS: Final = "local_only"
"""Name of the sites' own models in a record, where a job has them evaluated."""


class SiteEvaluation(Record):
    """A site's answer about one model: nothing about a patient."""

    min_count: MinimumCount = Field(description="Fewest patients behind any of these numbers.")
    set: EvaluatedSet = Field(description="Of patients: to report on, or to choose models on.")
    earlier_models: CaseCount = Field(
        default=0,
        description="Models that were evaluated on the site's test patients before this job; 0 where `set` "
        "is another one.",
    )
    whole: GroupAnswer
    gains: Annotated[dict[_Key, Gain], BeforeValidator(_limit)] = Field(
        default_factory=dict,
        description="By metric: the gain over the site's own model, on the same patients; empty without one.",
    )
    subgroups: dict[_Subgroup, Annotated[dict[_Subgroup, GroupAnswer], Field(max_length=MOST_VALUES)]] = (
        Field(default_factory=dict, max_length=MOST_ATTRIBUTES, description="Attribute to value.")
    )
    withheld: dict[_Subgroup, CaseCount] = Field(
        default_factory=dict,
        max_length=MOST_ATTRIBUTES,
        description="How many subgroups of each attribute stay there, for too few patients.",
    )
    note: Reason | None = Field(default=None, description="Why it has no subgroups, where it wants some.")
    left_out: CodeCounts = Field(default_factory=dict, description="Cases left out, by code.")
    seconds: Seconds = 0.0
    versions: Versions = Field(default_factory=dict)


class ModelEntry(Record):
    """One model and the sites' answers about it."""

    digest: Digest | None = Field(description="Of its file; null for the sites' own models.")
    job: Label | None = Field(default=None, description="The job that trained it, as its file says.")
    round: RoundNumber | None = Field(default=None, description="After how many rounds, as its file says.")
    sites: dict[SiteLabel, SiteEvaluation] = Field(default_factory=dict)
    missing: dict[SiteLabel, MissingSite] = Field(
        default_factory=dict, description="Sites without an answer that counts, and why."
    )


class EvaluationRecord(Record):
    """A whole evaluation."""

    job: Label
    task: Word
    title: Label = Field(description="Of the task, for people.")
    created: Moment = Field(default_factory=time.time, description="Unix time in seconds.")
    status: Literal["running", "finished", "failed"] = "running"
    reason: LongReason | None = Field(default=None, description="Why it did not end well.")
    code: Code = Field(default=None, description="What kind of reason it is.")
    settings: dict[str, Any] = Field(default_factory=dict)
    models: dict[Word, ModelEntry] = Field(default_factory=dict, description="By their name in the job.")

    @property
    def sites(self) -> list[str]:
        """All sites that were asked, by name."""
        return sorted({site for one in self.models.values() for site in (*one.sites, *one.missing)})

    def absences(self) -> Iterator[tuple[str, str, MissingSite]]:
        """Yield each model and site without an answer that counts, and why."""
        for name, model in self.models.items():
            for site, missing in sorted(model.missing.items()):
                yield name, site, missing

    def save(self, path: Path) -> None:
        """Write the record into a folder, which is made where needed; a crash leaves the one before it."""
        private_folder(path.parent, ours=False)
        write_atomically(path, self.model_dump_json(indent=1).encode())

    @classmethod
    def load(cls, path: Path) -> EvaluationRecord:
        """Read a record.

        Raises:
            FileNotFoundError: If there is none.
            ConfigurationError: If it can't be read.
        """
        return read_record(cls, path)
