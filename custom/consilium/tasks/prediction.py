"""Prediction of new cases: inference, and what is written of a case for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor, nn

    from consilium.data.cached_case import CachedCase

Value: TypeAlias = str | int | float
"""Value of a cell in the table of predictions."""


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What a user asked for.

    Attributes:
        convention: What the values in written targets mean; None where they mean the same everywhere.
        probabilities: Whether to write the probabilities, too.
    """

    convention: str | None = None
    probabilities: bool = False


@dataclass(frozen=True)
class CaseOutput:
    """What is written of one case.

    Attributes:
        values: A value for each of the task's columns.
        files: Ending of a file's name -> its content; the name starts with the case's id.
    """

    values: Mapping[str, Value]
    files: Mapping[str, bytes]


class Prediction(Protocol):
    """How a task predicts new cases and writes what it found.

    Torch loads with `infer` and `write`: a command's help needs neither.
    """

    @property
    def version(self) -> int:
        """Raised when the same case and model would give another output."""

    @property
    def conventions(self) -> tuple[str, ...]:
        """What values in written targets may mean, the default first; empty where there is no choice."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the table, after the case's id; units are in their names."""

    def meaning(self, convention: str | None) -> Mapping[str, Any]:
        """Return what the values in written files mean, as JSON values."""

    def infer(self, network: nn.Module, inputs: Tensor, settings: Any, *, mirror: bool) -> Tensor:
        """Run a network on a whole case, as `Method.infer` does, but as fast as new cases allow.

        Args:
            network: In evaluation mode.
            inputs: `(1, ...)`, from `Method.read_inputs`.
            settings: An instance of the task's `settings_type`.
            mirror: Whether to average over mirrored inputs.

        Returns:
            Logits `(1, ...)`.
        """

    def write(self, probabilities: Tensor, case: CachedCase, options: OutputOptions) -> CaseOutput:
        """Make the files and the table's row of one case.

        Args:
            probabilities: From `Method.interpret`.
            case: The case.
            options: What a user asked for.

        Raises:
            CaseError: The original file, whose place in space the output takes over, has changed or is gone.
        """
