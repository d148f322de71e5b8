"""Training of a model outside a federation, as the metadata of its file states it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from consilium.errors import ConfigurationError
from consilium.learning.initial_model import Origin, write_origin
from consilium.learning.model_file import save_model
from consilium.learning.weights import Weights
from consilium.settings import MAX_SITES, Settings
from consilium.tasks.learning_settings import LearningSettings

_KEY: Final = "standalone"
_MOST_CHARACTERS: Final = 1 << 16

_SiteName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class Standalone(Settings):
    """How a model was trained without a federation."""

    kind: Literal["local-only", "pooled"] = Field(
        description="On the cases of one hospital, or of several in one place."
    )
    sites: tuple[_SiteName, ...] = Field(min_length=1, max_length=MAX_SITES, description="Of the cases.")
    split: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{32}$",
        description="Which register of patients divided the cases into sets: the fingerprint of its secret, "
        "from which no patient follows. None for a pooled model.",
    )


def save_standalone(
    path: Path,
    weights: Weights,
    learning: LearningSettings,
    trained: Standalone,
    *,
    rounds: int,
    job: str,
    origin: tuple[Origin, ...] = (),
) -> None:
    """Write a model that was trained without a federation, in the format of a job's models.

    Args:
        path: The file.
        weights: The model.
        learning: The settings that it was trained with.
        trained: How.
        rounds: After how many rounds.
        job: Name of the job whose settings they are.
        origin: The models that it was trained from, the oldest first.
    """
    metadata = {
        "learning": json.dumps(learning.model_dump(mode="json")),
        "round": str(rounds),
        "job": job,
        _KEY: trained.model_dump_json(),
        **write_origin(origin),
    }
    save_model(path, weights, metadata)


def read_standalone(metadata: Mapping[str, str], path: Path) -> Standalone | None:
    """Return how a model was trained, by the metadata of its file; None if a federation trained it.

    Raises:
        ConfigurationError: The metadata can't be read.
    """
    text = metadata.get(_KEY)
    if text is None:
        return None
    try:
        values = json.loads(text) if len(text) <= _MOST_CHARACTERS else None
    except (ValueError, RecursionError):
        values = None
    source = f"how {path} was trained"
    if not isinstance(values, dict):
        raise ConfigurationError(f"{source} can't be read: its metadata is damaged; write the model again")
    return Standalone.parse(values, source=source)
