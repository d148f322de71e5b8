"""What a job asks of hospitals, for the officer's page: from its recipe, or from its record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from consilium.errors import ConfigurationError
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.recipes.base import JobRecipe
from consilium.recipes.evaluation import EvaluationSettings
from consilium.recipes.recognition import RECIPES
from consilium.recipes.statistics import StatisticsSettings
from consilium.recipes.training import TrainingRecipe, TrainingSettings
from consilium.records.evaluation import LOCAL_MODELS, EvaluationRecord
from consilium.records.federation import FederationRecord
from consilium.records.job_record import JobRecord
from consilium.records.readiness import ReadinessRecord
from consilium.report.privacy.facts import (
    EvaluationFacts,
    JobFacts,
    KindFacts,
    NoisePlan,
    ReadinessFacts,
    Source,
    StatisticsFacts,
    TrainingFacts,
)
from consilium.tasks import get_task

_NAME = "job"
"""Of a recipe that is built from a record: a record's name is any text."""


def facts_of_recipe(recipe: JobRecipe, *, patients: int | None = None) -> JobFacts:
    """Return what a job asks, before it runs.

    Example:
        >>> from consilium.recipes.catalog import build_recipe
        >>> facts_of_recipe(build_recipe("brain_tumor_fedavg", {"rounds": 3})).of_kind.rounds
        3

    Args:
        recipe: The job's.
        patients: Training patients of a hospital, from which the noise follows; None if not known.

    Raises:
        ConfigurationError: If its task is not installed, or no noise keeps the job's promise for so many.
    """
    settings = recipe.settings
    if isinstance(settings, StatisticsSettings):
        features = dict.fromkeys(one.group.title for one in get_task(settings.task).statistics.features())
        of_kind: KindFacts = StatisticsFacts(tuple(features), settings.min_count)
        return _facts(settings.name, settings.task, "settings", of_kind)
    task = str(settings.model_dump(include={"learning"})["learning"]["task"])
    if isinstance(settings, TrainingSettings):
        of_kind = _training(settings, patients)
    elif isinstance(settings, EvaluationSettings):
        models = tuple(one.name for one in settings.models)
        of_kind = EvaluationFacts(models, settings.local_only, settings.min_patients)
    else:
        of_kind = ReadinessFacts()
    return _facts(settings.name, task, "settings", of_kind)


def facts_of_record(record: JobRecord) -> JobFacts:
    """Return what a job asked, from its record.

    Args:
        record: The job's; its settings come from another machine, and the recipe's own model checks them.

    Raises:
        ConfigurationError: If its task is not installed, or its settings are not those of a job that this
            version writes.
    """
    if isinstance(record, ReadinessRecord):
        return _facts(record.job, record.task, "record", ReadinessFacts())
    if isinstance(record, EvaluationRecord):
        models = tuple(name for name in record.models if name != LOCAL_MODELS)
        local_only = record.settings.get("local_only") is True
        return _facts(record.job, record.task, "record", EvaluationFacts(models, local_only, None))
    if isinstance(record, FederationRecord):
        recipe_type: type[JobRecipe] = _training_recipe(record.settings)
        values = {"name": _NAME, **record.settings}
    else:
        recipe_type = next(one for one in RECIPES.values() if one.kind == "statistics")
        values = {"name": _NAME, "task": record.task, **record.settings}
    settings = recipe_type.settings_type.parse(values, source="the settings in the job's record")
    if isinstance(settings, TrainingSettings):
        of_kind: KindFacts = _training(settings)
    else:
        assert isinstance(settings, StatisticsSettings)  # by the kind of the recipe
        features = dict.fromkeys(one.group.title for one in get_task(settings.task).statistics.features())
        of_kind = StatisticsFacts(tuple(features), settings.min_count)
    return _facts(record.job, record.task, "record", of_kind)


def _training_recipe(settings: Mapping[str, Any]) -> type[TrainingRecipe]:
    algorithm = settings.get("algorithm")
    name = algorithm.get("name") if isinstance(algorithm, Mapping) else None
    recipes = [one for one in RECIPES.values() if issubclass(one, TrainingRecipe)]
    for one in recipes:
        if one.algorithm() == name:
            return one
    raise ConfigurationError(
        f"the job's record names the algorithm {name!r:.80}; known: "
        f"{', '.join(one.algorithm() for one in recipes)}"
    )


def _facts(name: str, task_name: str, source: Source, of_kind: KindFacts) -> JobFacts:
    task = get_task(task_name)
    metrics = task.evaluation.metrics
    titles = dict.fromkeys(one.title for group in metrics.shown.values() for one in group)
    return JobFacts(
        name=name,
        task=task.name,
        title=task.title,
        metrics=tuple(titles),
        has_counts=metrics.has_counts,
        source=source,
        of_kind=of_kind,
    )


def _training(settings: TrainingSettings, patients: int | None = None) -> TrainingFacts:
    algorithm, learning = settings.algorithm, settings.learning
    declared, promise = algorithm.declaration, algorithm.promise()
    return TrainingFacts(
        rounds=settings.rounds,
        min_sites=1 if promise.single_update else settings.min_sites,
        batch_size=learning.batch_size,
        local_steps=learning.local_steps,
        local_epochs=learning.local_epochs,
        round_minutes=learning.round_minutes,
        sent=declared.sent,
        received=declared.received,
        numbers=dict(declared.numbers),
        questions={name: _first_line(model) for name, model in declared.questions.items()},
        keeps_weights=type(algorithm).stays is not AlgorithmSettings.stays,
        rule=settings.aggregation.rule,
        local_only=settings.local_only,
        min_ready=settings.admission.min_ready if settings.admission else None,
        starts_trained=settings.initial is not None,
        resumes=settings.resume is not None,
        algorithm=algorithm.model_dump(mode="json"),
        promise=promise,
        plan=None if patients is None else _plan(settings, patients),
        withholds_losses=algorithm.withholds_losses,
        withholds_scores=algorithm.withholds_scores,
        sums_reports=algorithm.sums_reports,
        noise_of_one_site=algorithm.noise_of_one_site,
    )


def _plan(settings: TrainingSettings, patients: int) -> NoisePlan | None:
    plan = settings.algorithm.privacy_plan(settings.learning, settings.rounds, patients)
    if plan is None:
        return None
    gradients = plan.over(settings.rounds)[0]
    return NoisePlan(
        patients=patients,
        steps=gradients.steps,
        sampling_rate=gradients.sampling_rate,
        noise_multiplier=gradients.noise_multiplier,
        delta=plan.delta,
    )


def _first_line(model: type[BaseModel]) -> str:
    """What a model of an answer says of itself."""
    return (model.__doc__ or "").strip().partition("\n")[0]
