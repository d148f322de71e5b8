"""The job whose settings a training without a federation has."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consilium.default_task import training_job
from consilium.errors import ConfigurationError
from consilium.learning.initial_model import InitialModel
from consilium.learning.model_store import ModelStore
from consilium.learning.weights import Weights
from consilium.prediction.trained_model import network_weights
from consilium.prediction.warm_start import WarmStart
from consilium.recipes.base import JobRecipe
from consilium.recipes.exported_job import read_recipe
from consilium.recipes.job_folder import resolve_job
from consilium.recipes.training import TrainingRecipe
from consilium.records.model_comparison import DEFAULT_SELECTION, SelectionRule
from consilium.settings import apply_changes
from consilium.tasks.learning_settings import LearningSettings


@dataclass(frozen=True)
class TrainingJob:
    """Name, settings and start of a job that trains.

    Attributes:
        name: The job's.
        learning: What every step of it does.
        rounds: How many it has.
        initial: The model that it starts from; None for weights drawn from the seed.
        start: That model's weights.
        selection: The rule by which its best round is selected.
        has_noise: Whether sites add noise in the job; a training without a federation adds none.
    """

    name: str
    learning: LearningSettings
    rounds: int
    initial: InitialModel | None = None
    start: Weights | None = field(default=None, repr=False)
    has_noise: bool = False
    selection: SelectionRule = DEFAULT_SELECTION

    @classmethod
    def open(
        cls,
        job: JobRecipe | Path | str,
        changes: Mapping[str, Any] | None = None,
        initial: Path | str | None = None,
    ) -> TrainingJob:
        """Read a job.

        Args:
            job: A recipe, the folder of an exported job, or a name of `consilium jobs list`.
            changes: Dotted setting names to values.
            initial: A model to start from; default: as the job has it.

        Raises:
            ConfigurationError: There is no such job, it trains nothing, or a setting can't be used.
            DataError: The model's file can't be used.
        """
        recipe, models = _find(job, dict(changes or {}))
        if not isinstance(recipe, TrainingRecipe):
            raise ConfigurationError(
                f"{recipe.settings.name} trains nothing (kind of job: {recipe.kind}); name one that trains, "
                f"such as {training_job()}: `consilium jobs list`"
            )
        settings = recipe.settings
        learning = settings.learning
        has_noise = settings.algorithm.promise().epsilon is not None
        selection = settings.selection
        if initial is not None:
            warm = WarmStart.open(Path(initial).expanduser(), learning)
            with tempfile.TemporaryDirectory() as folder:
                models = ModelStore(Path(folder), folder)
                models.add(warm.content)
                start = warm.initial.load(models, network_weights(learning))
            return cls(settings.name, learning, settings.rounds, warm.initial, start, has_noise, selection)
        own = settings.initial
        if own is None:
            return cls(settings.name, learning, settings.rounds, has_noise=has_noise, selection=selection)
        if models is None:
            raise ConfigurationError(
                f"{settings.name} starts from {own.origin[-1].name}, whose file is not at hand; name the "
                "model with --from"
            )
        start = own.load(models, network_weights(learning))
        return cls(settings.name, learning, settings.rounds, own, start, has_noise, selection)


def _find(job: JobRecipe | Path | str, changes: dict[str, Any]) -> tuple[JobRecipe, ModelStore | None]:
    """Return a job's recipe with changed settings, and where the models are that it names."""
    if isinstance(job, JobRecipe):
        return _change(job, changes, "the recipe"), None
    found = resolve_job(job)
    if isinstance(found, Path):
        return _change(read_recipe(found), changes, str(found)), ModelStore.beside(found)
    return _change(found, changes, f"job {job!r}"), None


def _change(recipe: JobRecipe, changes: Mapping[str, Any], source: str) -> JobRecipe:
    if not changes:
        return recipe
    values = apply_changes(recipe.settings.model_dump(mode="json"), changes)
    return type(recipe).from_values(values, source=source)
