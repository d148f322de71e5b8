"""Recipe of FedNova."""

from __future__ import annotations

from consilium.learning.algorithms.fednova import FedNovaAlgorithmSettings
from consilium.recipes.training import TrainingRecipe, TrainingSettings


class FedNovaSettings(TrainingSettings):
    """Settings of a FedNova job; a round needs `min_sites` updates."""

    algorithm: FedNovaAlgorithmSettings = FedNovaAlgorithmSettings()


class FedNovaRecipe(TrainingRecipe):
    """Hospitals train one model; updates are normalized by each hospital's local training.

    Example:
        >>> from consilium.tasks import parse_learning
        >>> learning = parse_learning({"task": "brain_tumor"}, source="my job")
        >>> recipe = FedNovaRecipe(FedNovaSettings(name="my_job", learning=learning))
        >>> recipe.algorithm()
        'fednova'

    Args:
        settings: What the job decides.
    """

    settings_type = FedNovaSettings
