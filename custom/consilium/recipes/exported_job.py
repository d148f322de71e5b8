"""Exported job folders: written from a recipe, and read back as a hospital would."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consilium.data.files import private_folder, write_atomically
from consilium.errors import ConfigurationError
from consilium.learning.algorithms import DEFAULT_ALGORITHM
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.initial_model import InitialModel
from consilium.recipes.base import APP, CLIENT_CONFIG, META, SERVER_CONFIG, JobFiles, JobKind, JobRecipe
from consilium.recipes.evaluation import EvaluationSettings
from consilium.recipes.recognition import recognize_recipe
from consilium.recipes.strict_json import parse_json
from consilium.recipes.training import TrainingRecipe
from consilium.tasks.learning_settings import LearningSettings


@dataclass(frozen=True)
class ExportedJob:
    """Settings of an exported job.

    Attributes:
        path: The folder.
        rounds: Rounds of training.
        learning: What every site trains.
        min_sites: Fewest sites that have to train.
        mandatory_sites: Sites that must be among them.
        initial: The model that it starts from; None for drawn weights.
        algorithm: By which algorithm it trains.
    """

    path: Path
    rounds: int
    learning: LearningSettings
    min_sites: int
    mandatory_sites: tuple[str, ...]
    initial: InitialModel | None = None
    algorithm: AlgorithmSettings = DEFAULT_ALGORITHM


def export_job(recipe: JobRecipe, folder: Path) -> Path:
    """Write a job's folder below `folder`, in place of one of the same name; returns it.

    Example:
        >>> from consilium.recipes.catalog import build_recipe
        >>> export_job(build_recipe("brain_tumor_stats"), Path("my_jobs")).as_posix()
        'my_jobs/brain_tumor_stats'

    Raises:
        ConfigurationError: If something that is not a job is in its place.
    """
    target = folder / recipe.settings.name
    if target.exists() and not (target / "meta.json").is_file():
        raise ConfigurationError(
            f"{target} exists and is not a FLARE job: it has no meta.json; choose another folder"
        )
    private_folder(folder, ours=False)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        recipe.export(temporary)
        if target.exists():
            shutil.rmtree(target)
        (Path(temporary) / recipe.settings.name).replace(target)
    return target


def read_exported_job(path: Path) -> ExportedJob:
    """Read and check the folder of a job that trains.

    Example:
        >>> from consilium.recipes.catalog import build_recipe
        >>> folder = export_job(build_recipe("brain_tumor_fedavg", {"rounds": 3}), Path("my_jobs"))
        >>> read_exported_job(folder).rounds
        3

    Raises:
        ConfigurationError: If it is not a FLARE job, contains code, is not exactly what a recipe of
            Consilium writes, or doesn't train.
    """
    recipe = read_recipe(path)
    if not isinstance(recipe, TrainingRecipe):
        raise ConfigurationError(
            f"{path} trains nothing (kind of job: {recipe.kind}); `consilium jobs list` names those that do"
        )
    settings = recipe.settings
    return ExportedJob(
        path,
        settings.rounds,
        settings.learning,
        settings.min_sites,
        settings.quorum.mandatory_sites,
        settings.initial,
        settings.algorithm,
    )


def read_exported_evaluation(path: Path) -> EvaluationSettings:
    """Read and check the folder of a job that evaluates models.

    Raises:
        ConfigurationError: See `job_kind`; or it is a job of another kind.
    """
    settings = read_recipe(path).settings
    if not isinstance(settings, EvaluationSettings):
        raise ConfigurationError(f"{path} evaluates no models; `consilium jobs list` names those that do")
    return settings


def job_kind(path: Path) -> JobKind:
    """Return the kind of a job: training, readiness, statistics or evaluation.

    Raises:
        ConfigurationError: If it is not a FLARE job, contains code, or is not exactly what a recipe
            of Consilium writes.
    """
    return read_recipe(path).kind


def job_task(path: Path) -> str:
    """Return the task of a job.

    Raises:
        ConfigurationError: See `job_kind`.
    """
    values = read_recipe(path).settings.model_dump(mode="json")
    return str(values["task"] if "task" in values else values["learning"]["task"])


@contextmanager
def changed_job(path: Path, changes: Mapping[str, Any]) -> Iterator[Path]:
    """Have a copy of a job's folder with some settings changed; `meta.json` stays, whom it names included.

    Args:
        path: An exported job folder.
        changes: Settings with their new values; without any, the folder itself is what is given.

    Raises:
        ConfigurationError: If it is not a job that a recipe writes, or a setting can't be used.
    """
    if not changes:
        yield path
        return
    recipe = read_recipe(path)
    values = {**recipe.settings.model_dump(mode="json"), **changes}
    files = type(recipe).from_values(values, source=str(path)).files()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.resolve().name
        shutil.copytree(path, copy)
        for name, content in ((SERVER_CONFIG, files.server), (CLIENT_CONFIG, files.client)):
            write_atomically(copy / APP / name, f"{json.dumps(content, indent=2)}\n".encode())
        yield copy


def read_recipe(path: Path) -> JobRecipe:
    """Read and check the folder of a job of any kind.

    Raises:
        ConfigurationError: See `job_kind`.
    """
    if not (path / META).is_file():
        raise ConfigurationError(
            f"{path} is not a FLARE job: it has no {META}; `consilium jobs list` names the jobs, and "
            "`consilium jobs export NAME` writes one"
        )
    code = sorted(folder for folder in path.rglob("custom") if folder.is_dir())
    if code:
        raise ConfigurationError(
            f"{path} contains its own code ({code[0].relative_to(path)}); sites reject such a job, and so "
            "does the simulation: a job is configuration only"
        )
    files = JobFiles(
        *(_read(path / name) for name in (META, f"{APP}/{SERVER_CONFIG}", f"{APP}/{CLIENT_CONFIG}"))
    )
    try:
        return recognize_recipe(files)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{path} is not what a recipe of Consilium writes, so every site would reject it: {error}. Write "
            "it with `consilium jobs export NAME --set KEY=VALUE`"
        ) from None


def _read(path: Path) -> Any:
    try:
        return parse_json(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"{path} can't be read ({error.strerror}); a job of Consilium has it"
        ) from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None
