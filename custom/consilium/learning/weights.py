"""Model weights as named NumPy arrays, the form in which they are sent."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Weights: TypeAlias = Mapping[str, NDArray[Any]]

WeightSets: TypeAlias = Mapping[str, Weights]
"""Several sets of weights by name, such as a model and control variates."""

MODEL: Final = "model"
"""Name of the set that every algorithm has: the model, or its difference."""

_SEPARATOR = "/"


def difference(new: Weights, old: Weights) -> dict[str, NDArray[Any]]:
    """Return `new - old`, name by name: what a site sends after training."""
    return {name: np.asarray(new[name] - old[name]) for name in old}


def join_sets(sets: WeightSets) -> dict[str, NDArray[Any]]:
    """Lay several sets side by side in one mapping; the names of the model's weights stay as they are.

    Example:
        >>> sorted(join_sets({"model": {"w": np.zeros(1)}, "control": {"w": np.ones(1)}}))
        ['control/w', 'w']
    """
    joined = dict(sets.get(MODEL, {}))
    for label, weights in sets.items():
        if label != MODEL:
            joined |= {f"{label}{_SEPARATOR}{name}": value for name, value in weights.items()}
    return joined


def split_sets(joined: Weights, known: Collection[str]) -> dict[str, dict[str, NDArray[Any]]]:
    """Split arrays joined by `join_sets`; the model is always among the sets.

    Args:
        joined: One mapping.
        known: Names of the sets that may be there beside the model.

    Raises:
        ValueError: If another set is among them. The message holds nothing of its name, which may be a
            stranger's.
    """
    sets: dict[str, dict[str, NDArray[Any]]] = {MODEL: {}}
    for name, value in joined.items():
        label, separator, weight = name.partition(_SEPARATOR)
        if not separator:
            label, weight = MODEL, name
        elif label not in known or label == MODEL:
            raise ValueError("a set of weights that this job doesn't have")
        sets.setdefault(label, {})[weight] = value
    return sets
