"""Recipe of FedPID."""

from __future__ import annotations

from consilium.learning.algorithms.fedpid import FedPIDAlgorithmSettings
from consilium.recipes.training import TrainingRecipe, TrainingSettings


class FedPIDSettings(TrainingSettings):
    """Settings of a FedPID job; a round needs `min_sites` updates."""

    algorithm: FedPIDAlgorithmSettings = FedPIDAlgorithmSettings()


class FedPIDRecipe(TrainingRecipe):
    """Hospitals train one model; those whose loss falls more count more.

    Example:
        >>> from consilium.tasks import parse_learning
        >>> learning = parse_learning({"task": "brain_tumor"}, source="my job")
        >>> recipe = FedPIDRecipe(FedPIDSettings(name="my_job", learning=learning))
        >>> recipe.algorithm()
        'fedpid'

    Args:
        settings: What the job decides.
    """

    settings_type = FedPIDSettings
