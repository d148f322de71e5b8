"""Initial model of a job that starts from a trained one: its file by hash, and where it comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, TypeAlias

from pydantic import Field

from consilium.errors import ConfigurationError, DataError
from consilium.learning.model_file import load_matching
from consilium.learning.model_store import Digest, ModelStore
from consilium.learning.weights import Weights
from consilium.settings import Settings

_MOST_MODELS: Final = 50
_MOST_CHARACTERS: Final = 1 << 16

_Line: TypeAlias = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Origin(Settings):
    """A model that others were trained from."""

    name: _Line = Field(description="Its job, or the name under which it was published.")
    digest: Digest = Field(description="Of its file.")
    round: int | None = Field(default=None, ge=0, le=1_000_000, description="Rounds of its job.")
    license: _Line | None = Field(default=None, description="Of its weights, where it is known.")


class InitialModel(Settings):
    """The model that a job starts from, which the server has in its `local/models/`."""

    digest: Digest = Field(description="Of the file, which is named after it.")
    origin: tuple[Origin, ...] = Field(
        min_length=1, max_length=_MOST_MODELS, description="The models that it was trained from, itself last."
    )

    @property
    def title(self) -> str:
        """What it is, for messages."""
        return f"{self.origin[-1].name}, from which the job starts,"

    def load(self, store: ModelStore, like: Weights) -> Weights:
        """Read the weights; none is read before the file is known to be the one that is meant.

        Args:
            store: Where initial models are.
            like: Arrays of the names, shapes and number types that the job's network has.

        Raises:
            ConfigurationError: There is no such file, or it has other weights than the job's network.
        """
        path = store.find(self.digest, self.title)
        try:
            return load_matching(path, like)
        except DataError as error:
            raise ConfigurationError(f"the job can't start from {self.origin[-1].name}: {error}") from None

    def place(self, source: ModelStore, target: ModelStore) -> None:
        """Copy the file from one store to another, such as from beside the job to the server's kit.

        Raises:
            ConfigurationError: The first store doesn't have it.
        """
        source.copy_to(target, self.digest, self.title)


def read_origin(metadata: Mapping[str, str], path: Path) -> tuple[Origin, ...]:
    """Return the models that a model was trained from, by the metadata of its file; the oldest first.

    Raises:
        ConfigurationError: The metadata can't be read.
    """
    text = metadata.get("origin")
    if text is None:
        return ()
    try:
        values = json.loads(text) if len(text) <= _MOST_CHARACTERS else None
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list) or len(values) > _MOST_MODELS:
        raise ConfigurationError(f"{path}: the list of models that it was trained from can't be read")
    source = f"the models that {path} was trained from"
    return tuple(Origin.parse(one if isinstance(one, dict) else {}, source=source) for one in values)


def write_origin(origin: tuple[Origin, ...]) -> dict[str, str]:
    """Return the metadata of a model's file that `read_origin` reads."""
    if not origin:
        return {}
    return {"origin": json.dumps([one.model_dump(mode="json") for one in origin])}
