"""State of a component that exists only while its job runs."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Running(Generic[T]):
    """Holds something that is made when a job starts, such as its record.

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
