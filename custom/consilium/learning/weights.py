"""Model weights as they travel between sites: named NumPy arrays, nothing that could run code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = Mapping[str, NDArray[Any]]


def difference(new: Weights, old: Weights) -> dict[str, NDArray[Any]]:
    """Return `new - old`, name by name: what a site sends after training."""
    return {name: np.asarray(new[name] - old[name]) for name in old}
