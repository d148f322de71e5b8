"""Outcome of one run: what its models score on every test patient, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from consilium.data.files import write_atomically

PatientScores = Mapping[str, Mapping[str, float]]
"""Dice by hospital and patient."""


class Outcome(BaseModel):
    """Outcome of a run.

    Attributes:
        patients: Of the final model on test patients; where sites have models of their own, of the model that
            each site would use.
        rounds: Mean over hospitals of the validation Dice of each round's model.
        bytes_a_round: Sent and received by all sites together, with the final evaluation, by rounds.
        steps: Of all sites in all rounds.
        cpu_seconds: Of all processes of the run.
        seconds: Of the rounds, by the clock.
        local: Of each hospital's local-only model on its own test patients; empty where there is none.
        pooled: Of the pooled model.
        pooled_validation: Mean over hospitals of the pooled model's validation Dice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    patients: dict[str, dict[str, float]]
    rounds: list[float]
    bytes_a_round: float
    steps: int
    cpu_seconds: float
    seconds: float
    local: dict[str, dict[str, float]] = {}
    pooled: dict[str, dict[str, float]] = {}
    pooled_validation: float | None = None

    def save(self, path: Path) -> None:
        """Write it to a file."""
        write_atomically(path, self.model_dump_json(indent=1).encode())

    @classmethod
    def load(cls, path: Path) -> Outcome:
        """Read it from a file."""
        return cls.model_validate_json(path.read_bytes())
