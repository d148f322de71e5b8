"""Record of a training job: counts, scores and codes, nothing about a patient.

A site's part of it is made of the bounded types of `consilium.records.bounds`: what is out of bounds is
rejected when it arrives.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from consilium.data.files import write_atomically
from consilium.records.bounds import (
    ByteCount,
    CaseCount,
    Code,
    CodeCounts,
    Finite,
    Label,
    LongReason,
    Loss,
    Numbers,
    Reason,
    Record,
    Seconds,
    Share,
    SiteLabel,
    StepCount,
    Versions,
    WithheldCount,
    Word,
)
from consilium.records.gain import SiteGain
from consilium.tasks.metrics import MetricSet

FEDERATION_FILE = "federation.json"
"""Name of the record in the server's run folder; `download_job` includes it."""


OutcomeKind = Literal["success", "partial", "failure"]
"""How a job ended; see `consilium.records.outcome`."""


class SiteReport(Record):
    """A site's report of its part in a task, besides weights and scores."""

    role: Literal["trains", "evaluates"]
    train_cases: CaseCount
    validation_cases: WithheldCount = Field(
        description="Cases that scores are means of; null where they are too few, and scores stay there."
    )
    left_out: CodeCounts = Field(default_factory=dict, description="Cases left out, by code.")
    steps: StepCount = 0
    loss: Loss | None = None
    train_seconds: Seconds = 0.0
    task_seconds: Seconds = 0.0
    bytes_sent: ByteCount = Field(default=0, description="Since the site's job process started.")
    bytes_received: ByteCount = Field(default=0, description="Since the site's job process started.")
    numbers: Numbers = Field(default_factory=dict, description="What the job's algorithm asks for, by name.")
    versions: Versions = Field(default_factory=dict)
    gain: SiteGain | None = Field(
        default=None,
        description="Over the model that it trained alone, where the job asks for one; null where it would "
        "be of too few patients.",
    )


class SiteRound(Record):
    """One site in one task: a round, the preparation before the first, or the validation after the last."""

    outcome: Literal["ready", "answered", "trained", "evaluated", "refused", "excluded", "no answer"]
    reason: Reason | None = None
    code: Code = Field(default=None, description="What kind of reason it is.")
    left_out: CodeCounts = Field(
        default_factory=dict, description="Of a site that declined: the cases left out, by code."
    )
    weight: Share = Field(default=0.0, description="Share in the round's aggregate.")
    update_norm: Finite | None = Field(default=None, description="Euclidean norm of the weight difference.")
    report: SiteReport | None = None


class RoundRecord(Record):
    """One round of training."""

    number: int = Field(ge=1)
    attempts: int = Field(default=1, ge=1, description="How often the round was tried until it counted.")
    seconds: float = Field(ge=0)
    sites: dict[SiteLabel, SiteRound]
    questions: dict[Label, dict[SiteLabel, SiteRound]] = Field(
        default_factory=dict, description="What each site answered to the algorithm's other questions."
    )
    scores: dict[SiteLabel, dict[Word, Finite]] = Field(
        default_factory=dict, description="Scores of the model that this round made, by site."
    )
    rolled_back: Reason | None = Field(
        default=None, description="Why this round's model was dropped, and the one before restored."
    )


class Resumption(Record):
    """The resumption of an interrupted job."""

    job: Label = Field(description="Id of the interrupted job.")
    after_round: int = Field(ge=0, description="Its last durable round; the rounds up to it are its own.")


class FederationRecord(Record):
    """A whole run."""

    job: Label
    task: Word
    title: Label = Field(description="Of the task, for people.")
    metrics: MetricSet = Field(description="What the scores are, and the one that selects models.")
    status: Literal["running", "finished", "failed"] = "running"
    reason: LongReason | None = None
    code: Code = Field(default=None, description="The kind of reason.")
    rounds_planned: int = Field(ge=1)
    settings: dict[str, Any]
    initial_scores: dict[SiteLabel, dict[Word, Finite]] = Field(default_factory=dict)
    preparation: dict[SiteLabel, SiteRound] = Field(
        default_factory=dict, description="What each site said before the first round."
    )
    preparation_seconds: float | None = None
    rounds: list[RoundRecord] = Field(default_factory=list)
    final_scores: dict[SiteLabel, dict[Word, Finite]] = Field(default_factory=dict)
    final_sites: dict[SiteLabel, SiteRound] = Field(default_factory=dict)
    local_only: dict[SiteLabel, SiteRound] = Field(
        default_factory=dict,
        description="What each site answered about the model that it trained alone; empty where the job "
        "asked for none.",
    )
    best_round: int | None = Field(
        default=None, description="Round whose model is kept as the best; never one that was dropped."
    )
    excluded: list[SiteLabel] = Field(
        default_factory=list, description="Sites excluded from training: their scores choose no model."
    )
    resumed: list[Resumption] = Field(
        default_factory=list, description="Jobs that this one resumes, the first of them first."
    )
    versions: dict[str, str] = Field(default_factory=dict, description="At the server.")

    @property
    def gains(self) -> dict[str, SiteGain]:
        """Each hospital's gain over its local-only model, if reported."""
        return {
            site: one.report.gain
            for site, one in sorted(self.local_only.items())
            if one.outcome == "evaluated" and one.report and one.report.gain
        }

    def save(self, folder: Path) -> None:
        """Write the record into a folder; a crash leaves the one before it."""
        write_atomically(folder / FEDERATION_FILE, self.model_dump_json(indent=1).encode())

    @classmethod
    def load(cls, folder: Path) -> FederationRecord:
        """Read the record of a run folder."""
        return cls.model_validate(json.loads((folder / FEDERATION_FILE).read_text()))


class BaselineRecord(Record):
    """Baselines of the federation's model: same settings and number of steps, other data.

    Scores are those of validation cases of every hospital, by all metrics, by site.
    """

    local_steps: int = Field(
        ge=1, description="Steps that each local-only model was trained, as its site was."
    )
    pooled_steps: int = Field(
        ge=1, description="Steps of the pooled model, each on as many samples as all sites'."
    )
    local: dict[SiteLabel, dict[SiteLabel, dict[Word, Finite]]] = Field(
        description="Site that the model was trained at alone -> site that evaluated it -> scores."
    )
    pooled: dict[SiteLabel, dict[Word, Finite]] = Field(
        description="Site that evaluated the model of all data -> scores."
    )
    gains: dict[SiteLabel, SiteGain] = Field(
        default_factory=dict,
        description="What each hospital gains over its local-only model, as a real one says it.",
    )
    patient_gains: dict[SiteLabel, list[Finite]] = Field(
        default_factory=dict,
        description="The same of single patients: by how much the key metric of each is better, ascending. "
        "Real hospitals keep them to themselves.",
    )
    local_seconds: float = Field(ge=0)
    pooled_seconds: float = Field(ge=0)
