"""Model files in safetensors format, which contains no code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from consilium.counts import counted
from consilium.data.files import write_atomically
from consilium.errors import DataError
from consilium.learning.weights import Weights, WeightSets

LAST_MODEL = "model.safetensors"
"""File name of the global model after the last round."""

BEST_MODEL = "best_model.safetensors"
"""File name of the global model that scored best."""

_KINDS: Final = {"<f4": "F32", "<f8": "F64", "<f2": "F16", "<i8": "I64", "<i4": "I32"}
"""NumPy's name of a number type to that of safetensors."""

_MOST_NAME: Final = 80


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
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a model alone.

    Raises:
        DataError: If the file is missing or is not safetensors.
    """
    with _opened(path) as file:
        return file.metadata() or {}


def load_matching(path: Path, like: Weights) -> Weights:
    """Read the weights of an untrusted file; none is read before all of them are as wanted.

    Args:
        path: The file.
        like: Arrays of the names, shapes and number types that it has to have.

    Raises:
        DataError: If the file is missing, is not safetensors, or holds other arrays.
    """
    with _opened(path) as file:
        names = set(file.keys())
        problems = [f"missing {name}" for name in like.keys() - names]
        problems += [f"unknown {name[:_MOST_NAME]!r}" for name in names - like.keys()]
        for name in like.keys() & names:
            stored = file.get_slice(name)
            kind, shape = stored.get_dtype(), tuple(stored.get_shape())
            wanted = (_KINDS.get(like[name].dtype.str), like[name].shape)
            if (kind, shape) != wanted:
                problems.append(f"{name} is {kind} of shape {shape}, not {wanted[0]} of shape {wanted[1]}")
        if problems:
            shown = "; ".join(sorted(problems)[:5])
            raise DataError(
                f"{path} doesn't hold the network that it names: {counted(len(problems), 'problem')}: {shown}"
            )
        weights = {name: file.get_tensor(name) for name in like}
    infinite = sorted(name for name, array in weights.items() if not np.isfinite(array).all())
    if infinite:
        raise DataError(f"{path} holds numbers that are not finite, in {', '.join(infinite[:5])}")
    return weights


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: the job saved no model there") from None
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{path} is not a readable safetensors file ({error}): copy it from its source again"
        ) from None
