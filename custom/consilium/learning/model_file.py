"""Models on disk: safetensors, which holds arrays and text and nothing that could run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from consilium.data.files import write_atomically
from consilium.errors import DataError
from consilium.learning.weights import Weights

LAST_MODEL = "model.safetensors"
"""File name of the global model after the last round."""

BEST_MODEL = "best_model.safetensors"
"""File name of the global model that scored best."""


def save_model(path: Path, weights: Weights, metadata: Mapping[str, str]) -> None:
    """Write weights and metadata in one step."""
    # Not `ascontiguousarray`: it turns a counter such as that of batch normalization, shape (), into (1,).
    arrays = {name: np.asarray(value, order="C") for name, value in weights.items()}
    write_atomically(path, save(arrays, metadata=dict(metadata)))


def load_model(path: Path) -> tuple[Weights, dict[str, str]]:
    """Read weights and metadata.

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
