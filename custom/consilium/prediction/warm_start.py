"""Warm start of a job: the file of a trained or published model, checked against the job's network."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from consilium.errors import ConfigurationError
from consilium.learning.initial_model import InitialModel, Origin
from consilium.learning.model_store import digest_of
from consilium.prediction.trained_model import TrainedModel, Which, network_weights
from consilium.tasks import LearningSettings, get_task


@dataclass(frozen=True)
class WarmStart:
    """A model that a job starts from.

    Attributes:
        initial: What the job says of it.
        content: Of its file.
    """

    initial: InitialModel
    content: bytes = field(repr=False)

    @classmethod
    def open(cls, place: Path, learning: LearningSettings, which: Which | None = None) -> WarmStart:
        """Read a model, and check that the job's network has its weights.

        Args:
            place: A result folder, a downloaded job, a bundle, a model file, or a state dict (`.pt`) of
                weights that the task knows.
            learning: What the job trains.
            which: See `TrainedModel.load`.

        Raises:
            ConfigurationError: There is none, or it is one of another task or network.
            DataError: The file can't be used.
        """
        from consilium.learning.published_weights import PUBLISHED_ENDINGS, convert_published

        if place.is_file() and place.suffix.lower() in PUBLISHED_ENDINGS:
            task = get_task(learning.task)
            published, weights = convert_published(place, task, learning)
            digest = digest_of(place.read_bytes())
            source = Origin(name=published.name, digest=digest, license=published.license)
            arrays = {name: np.asarray(value, order="C") for name, value in weights.items()}
            metadata = {"published": json.dumps(source.model_dump(mode="json"))}
            return cls._of(save(arrays, metadata=metadata), (source,))
        trained = TrainedModel.load(place, which)
        _require_same_network(trained, learning)
        content = trained.read_file()
        own = Origin(name=trained.job or "unknown job", digest=digest_of(content), round=trained.round)
        return cls._of(content, (*trained.origin, own))

    @classmethod
    def _of(cls, content: bytes, origin: tuple[Origin, ...]) -> WarmStart:
        values = {"digest": digest_of(content), "origin": [one.model_dump() for one in origin]}
        return cls(InitialModel.parse(values, source="the model to start from"), content)


def _require_same_network(trained: TrainedModel, learning: LearningSettings) -> None:
    if trained.learning.task != learning.task:
        raise ConfigurationError(
            f"{trained.path} is a model of task {trained.learning.task}, and the job trains {learning.task}"
        )
    wanted = {name: value.shape for name, value in network_weights(learning).items()}
    if {name: value.shape for name, value in trained.weights.items()} != wanted:
        raise ConfigurationError(
            f"{trained.path} has the network {trained.learning.network}, and the job trains "
            f"{learning.network}: set learning.network={trained.learning.network}"
        )
