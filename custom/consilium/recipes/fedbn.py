"""Recipe of local normalization, the FedBN idea."""

from __future__ import annotations

from consilium.learning.algorithms.fedbn import FedBNAlgorithmSettings
from consilium.recipes.training import TrainingRecipe, TrainingSettings


class FedBNSettings(TrainingSettings):
    """Settings of a FedBN job; a round needs `min_sites` updates."""

    algorithm: FedBNAlgorithmSettings = FedBNAlgorithmSettings()


class FedBNRecipe(TrainingRecipe):
    """Hospitals train one model, each with normalization parameters of its own.

    Example:
        >>> from consilium.tasks import parse_learning
        >>> learning = parse_learning({"task": "brain_tumor", "network": "segresnet"}, source="my job")
        >>> recipe = FedBNRecipe(FedBNSettings(name="my_job", learning=learning))
        >>> recipe.algorithm()
        'fedbn'

    Args:
        settings: What the job decides.
    """

    settings_type = FedBNSettings
