"""State of a job's components, during the job and across restarts of the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from consilium.learning.weights import Weights

T = TypeVar("T")


class Running(Generic[T]):
    """Holder of an object that is created when a job starts, such as its record.

    FLARE makes components before there is a job to run.
    """

    def __init__(self) -> None:
        self._value: T | None = None

    def begin(self, value: T) -> T:
        """Hold a value from now on; returns it."""
        self._value = value
        return value

    @property
    def begun(self) -> bool:
        """Whether there is a value."""
        return self._value is not None

    @property
    def value(self) -> T:
        """The value.

        Raises:
            RuntimeError: If the job does not run yet.
        """
        if self._value is None:
            raise RuntimeError("the job does not run yet")
        return self._value


@dataclass(frozen=True)
class DurableState:
    """State of one part.

    Attributes:
        values: Plain JSON values.
        arrays: Named arrays, such as a server optimizer's momentum; never changed in place.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Weights = field(default_factory=dict)


class Stateful(Protocol):
    """A part with state from earlier rounds.

    A round that starts after `restore` goes as it would have gone without an interruption.
    """

    def state(self) -> DurableState:
        """Return the state that must survive the process."""

    def restore(self, state: DurableState) -> None:
        """Continue from a `state`."""
