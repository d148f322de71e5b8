"""Recipe of an evaluation of models at every hospital."""

from __future__ import annotations

from types import MappingProxyType

from nvflare.app_common.widgets.convert_to_fed_event import ConvertToFedEvent
from pydantic import Field, field_validator

from consilium.counts import counted
from consilium.federation.inquiry.model_evaluation import ModelEvaluation
from consilium.federation.message_names import EVALUATE, LOCAL_ONLY, SITE_STATE_EVENT
from consilium.federation.site.executor import SiteExecutor
from consilium.learning.evaluated_model import MOST_MODELS, EvaluatedModel
from consilium.recipes.base import (
    LEARNING_PLACE,
    TASK_REQUEST_PLACE,
    JobRecipe,
    JobSettings,
    new_job,
)
from consilium.records.evaluation import LOCAL_MODELS
from consilium.settings import MINUTES_PER_YEAR
from consilium.tasks import TaskLearning


class EvaluationSettings(JobSettings):
    """Settings of an evaluation."""

    models: tuple[EvaluatedModel, ...] = Field(
        default=(),
        max_length=MOST_MODELS,
        description="The models, as `consilium jobs export JOB --model NAME=MODEL` writes them.",
    )
    local_only: bool = Field(
        default=False,
        description="Have each site evaluate its own model first, where its settings name one "
        "(local_only_model), and compare the others with it. That model stays at the site.",
    )
    min_patients: int = Field(
        default=1,
        ge=1,
        le=1_000_000,
        description="Fewest patients behind an answer; the hospitals' own minimums count where they are "
        "larger.",
    )
    timeout_minutes: float = Field(
        default=240.0, gt=0, le=MINUTES_PER_YEAR, description="How long sites may take for a model."
    )
    learning: TaskLearning

    @field_validator("models")
    @classmethod
    def _check_names(cls, models: tuple[EvaluatedModel, ...]) -> tuple[EvaluatedModel, ...]:
        if len({one.name for one in models}) < len(models):
            raise ValueError("two models have one name")
        if any(one.name == LOCAL_MODELS for one in models):
            raise ValueError(f"{LOCAL_MODELS} is the name of the sites' own models; choose another name")
        return models


class EvaluationRecipe(JobRecipe):
    """Every site measures the same models on its patients, and returns means, intervals and counts.

    Example:
        >>> from consilium.tasks import parse_learning
        >>> learning = parse_learning({"task": "brain_tumor"}, source="my evaluation")
        >>> recipe = EvaluationRecipe(EvaluationSettings(name="my_evaluation", learning=learning))
        >>> recipe.name
        'my_evaluation'

    Args:
        settings: What the job decides; `learning` is that with which the models were trained.
    """

    kind = "evaluation"
    settings_type = EvaluationSettings
    controller = ModelEvaluation
    places = MappingProxyType(
        {
            "name": ("meta", "name"),
            "min_sites": ("meta", "min_clients"),
            "task_request_seconds": TASK_REQUEST_PLACE,
            "models": ("server", "workflows", 0, "args", "models"),
            "local_only": ("server", "workflows", 0, "args", "local_only"),
            "timeout_minutes": ("server", "workflows", 0, "args", "timeout_minutes"),
            "min_patients": ("client", "executors", 0, "executor", "args", "min_patients"),
            "learning": LEARNING_PLACE,
        }
    )

    settings: EvaluationSettings

    def __init__(self, settings: EvaluationSettings) -> None:
        job = new_job(settings)
        learning = settings.learning.model_dump(mode="json")
        models = [one.model_dump(mode="json") for one in settings.models]
        evaluation = ModelEvaluation(
            models, learning, timeout_minutes=settings.timeout_minutes, local_only=settings.local_only
        )
        job.to_server(evaluation, id="evaluation")
        executor = SiteExecutor(learning=learning, min_patients=settings.min_patients)
        tasks = [EVALUATE, LOCAL_ONLY] if settings.local_only else [EVALUATE]
        job.to_clients(executor, tasks=tasks)
        job.to_clients(ConvertToFedEvent(events_to_convert=[SITE_STATE_EVENT]), id="events")
        super().__init__(settings, job)

    @property
    def summary(self) -> str:
        """What the job evaluates."""
        models = counted(len(self.settings.models), "model") if self.settings.models else "models"
        return f"{models} on every site's patients, no training: {self.settings.learning.summary}"
