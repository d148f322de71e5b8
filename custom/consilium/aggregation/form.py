"""Form of an update: names, shapes and types of its arrays, which have to be those of the model's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consilium.counts import counted


class UpdateForm:
    """Form that an update of a model must have.

    Args:
        reference: Arrays with its names, shapes and types.

    Attributes:
        shapes: Shape of each array.
        types: Type of each array's numbers.

    Example:
        >>> form = UpdateForm({"w": np.zeros(2, np.float32)})
        >>> form.fault({"w": np.zeros(2)})
        'w holds float64 values, not float32'
    """

    def __init__(self, reference: Mapping[str, NDArray[Any]]) -> None:
        self.shapes = {name: np.shape(value) for name, value in reference.items()}
        self.types = {name: np.asarray(value).dtype for name, value in reference.items()}

    def fault(self, update: Mapping[str, Any]) -> str | None:
        """Return why an update can't be used: another form, or a value that is not finite; None if it can.

        Args:
            update: From a stranger.
        """
        if update.keys() != self.shapes.keys():
            missing, unknown = self.shapes.keys() - update.keys(), update.keys() - self.shapes.keys()
            return f"missing weights: {len(missing)}, unknown ones: {len(unknown)}"
        return next((one for name in update if (one := self._fault_of(name, update[name]))), None)

    def _fault_of(self, name: str, value: Any) -> str | None:
        if type(value) is not np.ndarray:
            return f"{name} is no array"
        # The very type: float64 would turn the global model into float64, and all that follows.
        if value.dtype != self.types[name]:
            return f"{name} holds {value.dtype} values, not {self.types[name]}"
        if value.shape != self.shapes[name]:
            return f"{name} has shape {_in_words(value.shape)}, not {self.shapes[name]}"
        return None if np.isfinite(value).all() else f"{name} is not finite"


def _in_words(shape: tuple[int, ...]) -> str:
    return str(shape) if len(shape) <= 8 else f"of {counted(len(shape), 'axis', 'axes')}"
