"""Recipe of training with differential privacy by patient."""

from __future__ import annotations

from pydantic import model_validator
from typing_extensions import Self

from consilium.learning.algorithms.dp_sgd import DpSgdAlgorithmSettings
from consilium.recipes.training import TrainingRecipe, TrainingSettings


class DpSgdSettings(TrainingSettings):
    """Settings of a DP-SGD job; what would leave a site beside the noisy updates is rejected."""

    algorithm: DpSgdAlgorithmSettings = DpSgdAlgorithmSettings()

    @model_validator(mode="after")
    def _check_releases(self) -> Self:
        if self.learning.local_steps is None:
            raise ValueError(
                "learning.local_epochs would make the number of steps depend on the data; give "
                "learning.local_steps, and null for local_epochs"
            )
        if self.local_only:
            raise ValueError(
                "local_only trains a model without noise on the same patients, and its scores leave; leave "
                "it out, or compare in a simulation: `consilium simulate --compare`"
            )
        if self.rollback_margin is not None and self.algorithm.withholds_scores:
            raise ValueError(
                "rollback_margin compares scores of rounds, and with algorithm.level formal none leaves a "
                "site; leave it out"
            )
        return self


class DpSgdRecipe(TrainingRecipe):
    """Hospitals train one model, each with noise that hides every one of its patients.

    Example:
        >>> from consilium.tasks import parse_learning
        >>> learning = parse_learning({"task": "brain_tumor", "batch_size": 8}, source="my job")
        >>> DpSgdRecipe(DpSgdSettings(name="my_job", rounds=3, learning=learning)).summary
        'unet_small, 2 mm, 3 rounds, at least 2 sites, epsilon 8 a patient'

    Args:
        settings: What the job decides.
    """

    settings_type = DpSgdSettings
    settings: DpSgdSettings

    @property
    def summary(self) -> str:
        """What the job trains, and what it spends of a patient."""
        return f"{super().summary}, epsilon {self.settings.algorithm.target_epsilon:g} a patient"
