"""What a federation writes down about itself: counts, scores and codes, nothing about a patient."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from consilium.data.files import write_atomically
from consilium.learning.small_counts import Count

FEDERATION_FILE = "federation.json"
"""Name of the record in the server's run folder; it is part of what `download_job` brings."""


OutcomeKind = Literal["success", "partial", "failure"]
"""How a job ended; `consilium.report.outcome` judges it."""


class Record(BaseModel):
    """Base of the records."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class SiteReport(Record):
    """What a site says about its own part in a task, beside weights and scores."""

    role: Literal["trains", "evaluates"]
    train_cases: int = Field(ge=0)
    validation_cases: Count = Field(
        ge=0,
        description="Cases that scores are means of; null where they are too few, and scores stay there.",
    )
    left_out: dict[str, Count] = Field(default_factory=dict, description="Cases left out, by code.")
    steps: int = Field(default=0, ge=0)
    loss: float | None = None
    train_seconds: float = Field(default=0.0, ge=0)
    task_seconds: float = Field(default=0.0, ge=0)
    bytes_sent: int = Field(default=0, ge=0, description="Since the site's job process started.")
    bytes_received: int = Field(default=0, ge=0, description="Since the site's job process started.")
    versions: dict[str, str] = Field(default_factory=dict)


class SiteRound(Record):
    """One site in one task: a round, the preparation before the first, or the validation after the last."""

    outcome: Literal["ready", "trained", "evaluated", "refused", "excluded", "no answer"]
    reason: str | None = None
    weight: float = Field(default=0.0, ge=0, le=1, description="Share in the round's aggregate.")
    update_norm: float | None = Field(default=None, description="Euclidean norm of the weight difference.")
    report: SiteReport | None = None


class RoundRecord(Record):
    """One round of training."""

    number: int = Field(ge=1)
    attempts: int = Field(default=1, ge=1, description="How often the round was tried until it counted.")
    seconds: float = Field(ge=0)
    sites: dict[str, SiteRound]
    scores: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="Scores of the model that this round made, by site."
    )
    rolled_back: str | None = Field(
        default=None, description="Why this round's model was dropped, and the one before restored."
    )


class Resumption(Record):
    """A job that went on where another one had been interrupted."""

    job: str = Field(description="Id of the interrupted job.")
    after_round: int = Field(ge=0, description="Its last durable round; the rounds up to it are its own.")


class FederationRecord(Record):
    """A whole run."""

    job: str
    status: Literal["running", "finished", "failed"] = "running"
    reason: str | None = None
    rounds_planned: int = Field(ge=1)
    settings: dict[str, Any]
    initial_scores: dict[str, dict[str, float]] = Field(default_factory=dict)
    preparation: dict[str, SiteRound] = Field(
        default_factory=dict, description="What each site said before the first round."
    )
    preparation_seconds: float | None = None
    rounds: list[RoundRecord] = Field(default_factory=list)
    final_scores: dict[str, dict[str, float]] = Field(default_factory=dict)
    final_sites: dict[str, SiteRound] = Field(default_factory=dict)
    best_round: int | None = None
    resumed: list[Resumption] = Field(
        default_factory=list, description="Jobs that this one goes on from, the first of them first."
    )
    versions: dict[str, str] = Field(default_factory=dict, description="At the server.")

    def save(self, folder: Path) -> None:
        """Write the record into a folder; a crash leaves the one before it."""
        write_atomically(folder / FEDERATION_FILE, self.model_dump_json(indent=1).encode())

    @classmethod
    def load(cls, folder: Path) -> FederationRecord:
        """Read the record of a run folder."""
        return cls.model_validate(json.loads((folder / FEDERATION_FILE).read_text()))


class BaselineRecord(Record):
    """What the federation's model is compared with: the same settings, the same number of steps, other data.

    Scores are those of validation cases of every hospital, with distances, by site.
    """

    local_steps: int = Field(
        ge=1, description="Steps that each local-only model was trained, as its site was."
    )
    pooled_steps: int = Field(
        ge=1, description="Steps of the pooled model, each on as many patches as all sites'."
    )
    local: dict[str, dict[str, dict[str, float]]] = Field(
        description="Site that the model was trained at alone -> site that judged it -> scores."
    )
    pooled: dict[str, dict[str, float]] = Field(
        description="Site that judged the model of all data -> scores."
    )
    local_seconds: float = Field(ge=0)
    pooled_seconds: float = Field(ge=0)
