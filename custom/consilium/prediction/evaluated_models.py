"""Models for an evaluation at every hospital: their files, checked against one network and preparation."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from consilium.errors import ConfigurationError, DataError
from consilium.learning.evaluated_model import EvaluatedModel
from consilium.learning.model_store import ModelStore, digest_of
from consilium.prediction.trained_model import TrainedModel, Which, network_weights
from consilium.tasks import LearningSettings

_CHOICES: Final[Mapping[str, Which]] = {"best": "best", "final": "final"}


def open_evaluated_model(
    store: ModelStore, model: EvaluatedModel, learning: LearningSettings
) -> TrainedModel:
    """Read a model that a job names; nothing that its file says is trusted.

    Args:
        store: The server's.
        model: What the job says of it.
        learning: The job's.

    Raises:
        ConfigurationError: There is no such file, it is another one, or a model of another task, network or
            preparation than the job's.
        DataError: The file can't be used.
    """
    path = store.find(model.digest, f"model {model.name}")
    try:
        opened = TrainedModel.load(path)
    except DataError as error:
        raise DataError(f"model {model.name}: {error}") from None
    require_alike(opened, learning)
    return opened


@dataclass(frozen=True)
class EvaluatedModels:
    """Models that a job has evaluated, with their files.

    Attributes:
        models: What the job says of them.
        learning: The settings that they were trained with: those of the first one.
        contents: Of their files, in the same order.
    """

    models: tuple[EvaluatedModel, ...]
    learning: LearningSettings
    contents: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def open(cls, assignments: Sequence[str], task: str) -> EvaluatedModels:
        """Read models by what a user wrote.

        Args:
            assignments: `NAME=MODEL` each; the model is a result folder, a downloaded job, a bundle or a
                file, with `@best` or `@final` after a folder.
            task: Of the job.

        Raises:
            ConfigurationError: A model can't be found, or they are of several networks or preparations.
            DataError: A file can't be used.
        """
        opened = {name: TrainedModel.load(place, which) for name, place, which in map(_parse, assignments)}
        if len(opened) < len(assignments):
            raise ConfigurationError("--model: two models have one name")
        first = next(iter(opened.values())).learning
        if first.task != task:
            raise ConfigurationError(
                f"--model: these are models of task {first.task}, and the job's is {task}"
            )
        for model in opened.values():
            require_alike(model, first)
        contents = tuple(model.read_file() for model in opened.values())
        models = [
            EvaluatedModel.parse({"name": name, "digest": digest_of(content)}, source=f"--model {name}")
            for name, content in zip(opened, contents, strict=True)
        ]
        return cls(tuple(models), first, contents)

    def same(self) -> list[list[str]]:
        """List names of one and the same model, such as of a best round that is the last one."""
        names: dict[str, list[str]] = {}
        for model in self.models:
            names.setdefault(model.digest, []).append(model.name)
        return [one for one in names.values() if len(one) > 1]

    def write(self, store: ModelStore) -> list[Path]:
        """Write the files into a store; returns their places."""
        return [store.add(content) for content in self.contents]


def require_models(models: Sequence[EvaluatedModel]) -> None:
    """Raise if a job that evaluates models names none, before any process starts for it.

    Args:
        models: What the job says of them.

    Raises:
        ConfigurationError: It names none.
    """
    if not models:
        raise ConfigurationError(
            "the job names no model: write it with `consilium jobs export JOB --to DIR --model NAME=MODEL`, "
            "and run DIR/JOB"
        )


def place_models(models: Sequence[EvaluatedModel], source: ModelStore, target: ModelStore) -> None:
    """Copy the models of a job from one store to another, such as from beside the job to the server's kit.

    Args:
        models: What the job says of them.
        source: Where they are.
        target: Where the server looks for them.

    Raises:
        ConfigurationError: A file is not there.
    """
    for model in models:
        source.copy_to(target, model.digest, f"model {model.name}")


def _parse(assignment: str) -> tuple[str, Path, Which | None]:
    name, equals, place = assignment.partition("=")
    if not equals or not place:
        raise ConfigurationError(
            f"--model {shlex.quote(assignment)} is not of the form NAME=MODEL, such as "
            "final=runs/demo/result@final"
        )
    path, _, choice = place.rpartition("@")
    if path and choice in _CHOICES:
        return name, Path(path).expanduser(), _CHOICES[choice]
    return name, Path(place).expanduser(), None


def require_alike(model: TrainedModel, learning: LearningSettings) -> None:
    """Require that a model is of a job's task and network, and was trained on cases prepared alike.

    Args:
        model: The model.
        learning: The job's.

    Raises:
        ConfigurationError: It is another one.
    """
    own, name = model.learning, model.path.name
    if own.task != learning.task:
        raise ConfigurationError(
            f"{name} is a model of task {own.task}, and the job evaluates {learning.task}"
        )
    if _of_task(own) != _of_task(learning):
        raise ConfigurationError(
            f"{name} was trained with other settings of its network and cases ({own.summary}) than the job "
            f"has ({learning.summary}): evaluate it in a job of its own"
        )
    wanted = {one: value.shape for one, value in network_weights(learning).items()}
    if {one: value.shape for one, value in model.weights.items()} != wanted:
        raise ConfigurationError(f"{name} does not have the weights of the job's network")


def _of_task(learning: LearningSettings) -> dict[str, object]:
    """The settings on which a prediction may depend: the network's name, and all that are the task's own."""
    training = LearningSettings.model_fields.keys() - {"network"}
    return {name: value for name, value in learning.model_dump().items() if name not in training}
