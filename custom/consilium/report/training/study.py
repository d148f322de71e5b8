"""Content of `report.json`: the outcome of a study in numbers, from which the page is made."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from consilium.counts import Count
from consilium.data.split import EvaluatedSet
from consilium.errors import RefusalCode
from consilium.records.federation import OutcomeKind
from consilium.records.score_intervals import ScoreInterval
from consilium.report.privacy.statement import OfferedProtection
from consilium.tasks.metrics import MetricSet

Scores = dict[str, FiniteFloat]
"""By metric; see `StudyReport.metrics`. A score that is not finite is an error."""


class _ReportPart(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Comparison(_ReportPart):
    """The federation's model and those to compare it with, on the same patients; null where not evaluated."""

    global_: Scores | None = Field(default=None, alias="global", description="The federation's final model.")
    local: Scores | None = Field(
        default=None, description="Mean over all models trained at one hospital alone."
    )
    pooled: Scores | None = Field(
        default=None, description="The model trained on all hospitals' cases at once."
    )


class Summary(Comparison):
    """All hospitals together: means in which each counts the same, and what follows from sums of counts."""

    worst_site: str | None = Field(default=None, description="Where the global model's key metric is worst.")
    worst_site_score: FiniteFloat | None = Field(default=None, description="The key metric there.")
    own: Scores | None = Field(
        default=None, description="Each hospital's own model there, over the hospitals that are compared."
    )
    gain: FiniteFloat | None = Field(
        default=None, description="How much better the global model's key metric is at the same hospitals."
    )


Standing = Literal["gains", "loses", "unclear", "not compared"]
"""Where the federation leaves a hospital, against the model that it trained alone; see `report.gains`."""


class GainSummary(_ReportPart):
    """By how much a hospital's key metric is better with the federation's model than with its own."""

    standing: Standing
    why: str | None = Field(
        default=None, description="Why the hospital is not compared, or why the result is inconclusive."
    )
    patients: int | None = None
    mean: FiniteFloat | None = None
    low: FiniteFloat | None = Field(
        default=None, description="Lower end of the 95 % interval; null where it is of too few patients."
    )
    high: FiniteFloat | None = None


class SiteSummary(Comparison):
    """One hospital: what it brought in, and the scores on its test patients."""

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
    scored_cases: int | None = Field(
        description="Cases that the final model's scores are of, see `evaluated_on`; null if they stay there."
    )
    best: Scores | None = Field(default=None, description="The best round's model on the same patients.")
    intervals: dict[str, ScoreInterval] = Field(
        default={}, description="95 % intervals of the federation's scores; none where of too few patients."
    )
    best_intervals: dict[str, ScoreInterval] = Field(default={}, description="The same of `best`.")
    earlier_models: int = Field(
        default=0, description="Models that were evaluated on the same patients before this job."
    )
    left_out: dict[str, Count] = Field(
        description="Cases left out, by code; null where the number is below the hospital's minimum."
    )
    rounds_trained: int
    steps: int = Field(description="Over all rounds.")
    weight: float = Field(description="Mean share in the aggregate, over all rounds.")
    update_norm: FiniteFloat | None = Field(description="Euclidean norm of the last update.")
    train_seconds: FiniteFloat | None = Field(description="Over all rounds.")


class SiteInRound(_ReportPart):
    """One hospital in one round."""

    outcome: str
    reason: str | None
    code: RefusalCode | None = Field(default=None, description="What kind of reason it is.")
    weight: float
    steps: int
    loss: FiniteFloat | None
    update_norm: FiniteFloat | None
    seconds: FiniteFloat | None = Field(description="Of the whole task: preparing, evaluating, training.")
    scores: Scores | None = Field(description="Of the model that this round made.")


class RoundSummary(_ReportPart):
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


class SiteTraffic(_ReportPart):
    """Payload bytes of a hospital's messages."""

    sent: int
    received: int


class StudySeconds(_ReportPart):
    """Wall time of the parts of a study; null for what was not done or not measured."""

    cohort: FiniteFloat | None = None
    federated: FiniteFloat | None = None
    local: FiniteFloat | None = None
    pooled: FiniteFloat | None = None
    total: FiniteFloat | None = None


class BaselineSteps(_ReportPart):
    """How long the models to compare with were trained."""

    local: int
    pooled: int


class StudyVersions(_ReportPart):
    """Versions of Python and of the packages that a model's numbers depend on."""

    server: dict[str, str]
    sites: dict[str, dict[str, str]]


class StudyReport(_ReportPart):
    """The content of `report.json`."""

    job: str
    task: str
    title: str = Field(description="Of the task, for people.")
    metrics: MetricSet = Field(description="What the scores are, and of which targets.")
    evaluated_on: EvaluatedSet = Field(description="The patients that the final model's scores are of.")
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
        description="Hospitals whose means are compared from round to round: those that validated the last "
        "model, without excluded ones."
    )
    initial_scores: dict[str, Scores] = Field(description="Of the untrained model, by hospital.")
    rounds: list[RoundSummary]
    bytes: dict[str, SiteTraffic]
    seconds: StudySeconds
    baseline_steps: BaselineSteps | None
    versions: StudyVersions
    privacy: OfferedProtection | None = Field(
        description="What protected the patients in the updates, as the job promised it; null where its "
        "algorithm is not of this version."
    )
    withheld: list[Literal["validation_scores", "losses"]] = Field(
        description="What the algorithm keeps at the hospitals, whatever their number of patients."
    )
    settings: dict[str, Any]

    def to_json(self) -> str:
        """Return the text of `report.json`. Settings that are not finite become null: JSON has no NaN."""
        return self.model_dump_json(by_alias=True, indent=1)
