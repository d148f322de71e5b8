"""What `report.json` holds: the outcome of a study in numbers, and all that the page is made from."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from consilium.counts import Count
from consilium.records.federation import OutcomeKind

Scores = dict[str, FiniteFloat]
"""`dice`, `hd95` (mm) and both for each region, as `dice_wt`. A score that is not finite is an error."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Comparison(_Part):
    """The federation's model and those to compare it with, on the same patients; null where not evaluated."""

    global_: Scores | None = Field(default=None, alias="global", description="The federation's final model.")
    local: Scores | None = Field(
        default=None, description="Mean over all models trained at one hospital alone."
    )
    pooled: Scores | None = Field(
        default=None, description="The model trained on all hospitals' cases at once."
    )


class Summary(Comparison):
    """Means over hospitals, each counting the same; `global` has `worst_site_dice` as well."""

    worst_site: str | None = Field(default=None, description="Where the global model scores lowest.")
    own: Scores | None = Field(
        default=None, description="Each hospital's own model there, over the hospitals that are compared."
    )
    gain: FiniteFloat | None = Field(
        default=None, description="How much higher the global model's Dice is at the same hospitals."
    )


Standing = Literal["gains", "loses", "unclear", "not compared"]
"""Where the federation leaves a hospital, against the model that it trained alone; see `report.gains`."""


class GainSummary(_Part):
    """By how much a hospital's mean Dice is higher with the federation's model than with its own."""

    standing: Standing
    why: str | None = Field(
        default=None, description="Why the hospital is not compared, or why nobody can tell."
    )
    patients: int | None = None
    mean: FiniteFloat | None = None
    low: FiniteFloat | None = Field(
        default=None, description="Lower end of the 95 % interval; null where it is of too few patients."
    )
    high: FiniteFloat | None = None


class SiteSummary(Comparison):
    """One hospital: what it brought in, and the scores on its validation patients."""

    own: Scores | None = Field(default=None, description="The model trained at this hospital alone.")
    gain: GainSummary | None = Field(
        default=None, description="Over that model; null if no hospital trained one."
    )
    role: Literal["trains", "evaluates"] | None = Field(
        description="Null for a hospital whose data were never ready: it declined, or did not answer."
    )
    reason: str | None = Field(
        default=None, description="Why the hospital has no part in the last task that it was asked for."
    )
    remedy: str | None = Field(default=None, description="What to do about it.")
    train_cases: int | None
    validation_cases: int | None
    left_out: dict[str, Count] = Field(
        description="Cases left out, by code; null where the number is below the hospital's minimum."
    )
    rounds_trained: int
    steps: int = Field(description="Over all rounds.")
    weight: float = Field(description="Mean share in the aggregate, over all rounds.")
    update_norm: FiniteFloat | None = Field(description="Euclidean norm of the last update.")
    train_seconds: FiniteFloat | None = Field(description="Over all rounds.")


class SiteInRound(_Part):
    """One hospital in one round."""

    outcome: str
    reason: str | None
    weight: float
    steps: int
    loss: FiniteFloat | None
    update_norm: FiniteFloat | None
    seconds: FiniteFloat | None = Field(description="Of the whole task: preparing, judging, training.")
    scores: Scores | None = Field(description="Of the model that this round made.")


class RoundSummary(_Part):
    """One round."""

    number: int
    seconds: float
    overhead_seconds: FiniteFloat | None = Field(
        description="The round's seconds beyond those of its slowest hospital."
    )
    scores: Scores | None = Field(
        description="Of the model that this round made, means over `compared_sites`; null unless each of "
        "these evaluated it."
    )
    rolled_back: str | None = Field(default=None, description="Why that model was dropped.")
    sites: dict[str, SiteInRound]


class Traffic(_Part):
    """Payload bytes of a hospital's messages."""

    sent: int
    received: int


class Seconds(_Part):
    """Wall time of the parts of a study; null for what was not done or not measured."""

    cohort: FiniteFloat | None = None
    federated: FiniteFloat | None = None
    local: FiniteFloat | None = None
    pooled: FiniteFloat | None = None
    total: FiniteFloat | None = None


class BaselineSteps(_Part):
    """How long the models to compare with were trained."""

    local: int
    pooled: int


class Versions(_Part):
    """Versions of Python and of the packages that a model's numbers depend on."""

    server: dict[str, str]
    sites: dict[str, dict[str, str]]


class StudyReport(_Part):
    """The content of `report.json`."""

    job: str
    task: str
    regions: dict[str, str] = Field(description="Name of each region -> its title, in the network's order.")
    status: Literal["running", "finished", "failed"]
    outcome: OutcomeKind = Field(
        description="`partial`: finished, but not every hospital was in every round."
    )
    reason: str | None
    rounds_planned: int
    best_round: int | None
    warnings: list[str]
    summary: Summary
    sites: dict[str, SiteSummary]
    local_models: dict[str, dict[str, Scores]] = Field(
        description="Hospital that a model was trained at alone -> hospital that evaluated it -> scores."
    )
    compared_sites: list[str] = Field(
        description="Hospitals whose means are compared from round to round: those that evaluated the last "
        "model, without excluded ones."
    )
    initial_scores: dict[str, Scores] = Field(description="Of the untrained model, by hospital.")
    rounds: list[RoundSummary]
    bytes: dict[str, Traffic]
    seconds: Seconds
    baseline_steps: BaselineSteps | None
    versions: Versions
    settings: dict[str, Any]

    def to_json(self) -> str:
        """Return the text of `report.json`. Settings that are not finite become null: JSON has no NaN."""
        return self.model_dump_json(by_alias=True, indent=1)
