"""Model files in safetensors format, which contains no code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from consilium.data.files import write_atomically
from consilium.errors import DataError
from consilium.learning.weights import Weights, WeightSets

LAST_MODEL = "model.safetensors"
"""File name of the global model after the last round."""

BEST_MODEL = "best_model.safetensors"
"""File name of the global model that scored best."""


def save_model(path: Path, weights: Weights, metadata: Mapping[str, str]) -> None:
    """Write weights and metadata in one step."""
    # Not `ascontiguousarray`: it turns a counter such as that of batch normalization, shape (), into (1,).
    arrays = {name: np.asarray(value, order="C") for name, value in weights.items()}
    write_atomically(path, save(arrays, metadata=dict(metadata)))


def save_sets(path: Path, sets: WeightSets) -> None:
    """Write several sets of weights in one step."""
    save_model(
        path, {f"{name}/{key}": value for name, of_it in sets.items() for key, value in of_it.items()}, {}
    )


def load_sets(path: Path) -> dict[str, dict[str, NDArray[Any]]]:
    """Read a file written by `save_sets`; sets without weights are omitted.

    Raises:
        DataError: If the file is missing or is not safetensors.
    """
    joined, _ = load_model(path)
    sets: dict[str, dict[str, NDArray[Any]]] = {}
    for key, value in joined.items():
        name, _, weight = key.partition("/")
        sets.setdefault(name, {})[weight] = value
    return sets


def load_model(path: Path) -> tuple[Weights, dict[str, str]]:
    """Read weights and metadata.

    Example:
        >>> save_model(Path("model.safetensors"), {"bias": np.zeros(2)}, {"task": "brain_tumor"})
        >>> weights, metadata = load_model(Path("model.safetensors"))
        >>> weights["bias"].tolist(), metadata
        ([0.0, 0.0], {'task': 'brain_tumor'})

    Raises:
        DataError: If the file is missing or is not safetensors.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: the job saved no model there") from None
    except SafetensorError as error:
        raise DataError(f"{path} is not a readable safetensors file: {error}") from None
