"""Record of a training without a federation: cases, rounds and scores of each site."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from consilium.data.files import private_folder, write_atomically
from consilium.records.bounds import (
    BySite,
    CaseCount,
    CodeCounts,
    Duration,
    Label,
    Loss,
    Packages,
    Record,
    RoundCount,
    Score,
    Word,
)
from consilium.records.reading import read_record
from consilium.records.score_intervals import ScoreIntervals

LOCAL_TRAINING_FILE: Final = "training.json"
"""Name of the record beside the models. Its scores may be of few patients: it stays where the images are."""

_Scores = dict[Word, Score]


class SitePatients(Record):
    """Patients of one site by set, and its cases that are left out."""

    train: CaseCount
    validation: CaseCount
    test: CaseCount
    left_out: CodeCounts = Field(default_factory=dict, description="Cases, by code.")


class TrainedRound(Record):
    """One round: its model on the validation patients."""

    number: RoundCount
    loss: Loss | None = Field(default=None, description="Mean loss; null where training resumed after it.")
    scores: BySite[_Scores] = Field(default_factory=dict, description="On validation patients.")


class TestedScores(Record):
    """Scores of one model on a site's test patients."""

    scores: _Scores
    intervals: ScoreIntervals = Field(default_factory=dict, description="95 %, by bootstrap over patients.")


class LocalTrainingRecord(Record):
    """A training on one machine."""

    job: Label
    task: Word
    kind: Literal["local-only", "pooled"]
    inputs: Annotated[str, Field(strict=True, pattern=r"^[0-9a-f]{64}$")] = Field(
        description="Hash of all that the models depend on."
    )
    settings: dict[str, Any] = Field(default_factory=dict)
    status: Literal["running", "finished"] = "running"
    rounds_planned: RoundCount
    sites: BySite[SitePatients]
    rounds: list[TrainedRound] = Field(default_factory=list)
    best_round: RoundCount | None = Field(
        default=None, description="The round whose model scored best on validation patients."
    )
    final: BySite[TestedScores] = Field(default_factory=dict, description="The last model on test patients.")
    best: BySite[TestedScores] = Field(default_factory=dict, description="The best one on test patients.")
    seconds: Duration = 0.0
    versions: Packages = Field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write the record into a folder, which is made where needed; a crash leaves the one before it."""
        private_folder(folder)
        write_atomically(folder / LOCAL_TRAINING_FILE, self.model_dump_json(indent=1).encode())

    @classmethod
    def load(cls, folder: Path) -> LocalTrainingRecord:
        """Read the record of a folder.

        Raises:
            FileNotFoundError: If there is none.
            ConfigurationError: If it can't be read.
        """
        return read_record(cls, folder / LOCAL_TRAINING_FILE)
