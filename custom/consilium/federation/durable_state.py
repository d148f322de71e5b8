"""State of the server that survives restarts: what parts of a job remember from round to round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from consilium.learning.weights import Weights


@dataclass(frozen=True)
class AlgorithmState:
    """What one part remembers.

    Attributes:
        values: Plain JSON values.
        arrays: Named arrays, such as a server optimizer's momentum; never changed in place.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Weights = field(default_factory=dict)


class Stateful(Protocol):
    """A part of the algorithm that knows something from the rounds before.

    A round that starts after `restore` goes as it would have gone without an interruption.
    """

    def state(self) -> AlgorithmState:
        """Return what has to outlive the process."""

    def restore(self, state: AlgorithmState) -> None:
        """Continue from a `state`."""
