"""Recipes of the server's optimizers: FedAvgM, FedAdam and FedYogi."""

from __future__ import annotations

from consilium.learning.algorithms.server_optimizers import (
    FedAdamAlgorithmSettings,
    FedAvgMAlgorithmSettings,
    FedYogiAlgorithmSettings,
)
from consilium.recipes.training import TrainingRecipe, TrainingSettings


class FedAvgMSettings(TrainingSettings):
    """Settings of a FedAvgM job; a round needs `min_sites` updates."""

    algorithm: FedAvgMAlgorithmSettings = FedAvgMAlgorithmSettings()


class FedAvgMRecipe(TrainingRecipe):
    """Hospitals train one model; the server's step has momentum.

    Example:
        >>> from consilium.tasks import parse_learning
        >>> learning = parse_learning({"task": "brain_tumor"}, source="my job")
        >>> recipe = FedAvgMRecipe(FedAvgMSettings(name="my_job", learning=learning))
        >>> recipe.algorithm()
        'fedavgm'

    Args:
        settings: What the job decides.
    """

    settings_type = FedAvgMSettings


class FedAdamSettings(TrainingSettings):
    """Settings of a FedAdam job; a round needs `min_sites` updates."""

    algorithm: FedAdamAlgorithmSettings = FedAdamAlgorithmSettings()


class FedAdamRecipe(TrainingRecipe):
    """Hospitals train one model; the server's step is Adam's.

    Example:
        >>> from consilium.tasks import parse_learning
        >>> learning = parse_learning({"task": "brain_tumor"}, source="my job")
        >>> recipe = FedAdamRecipe(FedAdamSettings(name="my_job", learning=learning))
        >>> recipe.algorithm()
        'fedadam'

    Args:
        settings: What the job decides.
    """

    settings_type = FedAdamSettings


class FedYogiSettings(TrainingSettings):
    """Settings of a FedYogi job; a round needs `min_sites` updates."""

    algorithm: FedYogiAlgorithmSettings = FedYogiAlgorithmSettings()


class FedYogiRecipe(TrainingRecipe):
    """Hospitals train one model; the server's step is Yogi's.

    Example:
        >>> from consilium.tasks import parse_learning
        >>> learning = parse_learning({"task": "brain_tumor"}, source="my job")
        >>> recipe = FedYogiRecipe(FedYogiSettings(name="my_job", learning=learning))
        >>> recipe.algorithm()
        'fedyogi'

    Args:
        settings: What the job decides.
    """

    settings_type = FedYogiSettings
