"""Plan of a training job: its settings, and its parts with state."""

from __future__ import annotations

import math
from dataclasses import dataclass

from consilium.errors import ConfigurationError
from consilium.federation.algorithms.base import ServerAlgorithm
from consilium.federation.exchange.quorum import Quorum
from consilium.federation.rounds.rollback import Rollback
from consilium.federation.updates.rejection_history import Rejections
from consilium.federation.updates.screening import Screening
from consilium.records.model_comparison import DEFAULT_SELECTION, SelectionRule
from consilium.tasks.learning_settings import LearningSettings


@dataclass(frozen=True)
class TrainingPlan:
    """Settings of a training job, and its parts with state.

    Attributes:
        rounds: Rounds of training.
        quorum: When a round counts.
        learning: What the sites train.
        algorithm: The server's half.
        screening: What is known of updates.
        rejections: How often each site's answers were rejected.
        rollback: What a round that made the model worse is followed by.
        selection: By which rule the best round's model is selected.
        deadline_hours: How long the whole job may take; None: as long as it takes.
    """

    rounds: int
    quorum: Quorum
    learning: LearningSettings
    algorithm: ServerAlgorithm
    screening: Screening
    rejections: Rejections
    rollback: Rollback
    selection: SelectionRule
    deadline_hours: float | None

    def check_sums(self) -> None:
        """Check that nothing needs single sites' cases or scores, where only sums reach the server.

        Raises:
            ConfigurationError: If something does.
        """
        algorithm = self.algorithm.settings
        if not algorithm.sums_reports:
            return
        for setting, value, allowed in (
            ("quorum.min_case_share", self.quorum.settings.min_case_share, 0.0),
            ("selection", self.selection, DEFAULT_SELECTION),
        ):
            if value != allowed:
                raise ConfigurationError(
                    f"{setting} is {value!r}, for which the server has to know single sites' cases or "
                    f"scores; algorithm {algorithm.name!r} sends sums only; allowed: {allowed!r}"
                )

    @property
    def seconds(self) -> float:
        """How long the job may take."""
        return math.inf if self.deadline_hours is None else self.deadline_hours * 3600
