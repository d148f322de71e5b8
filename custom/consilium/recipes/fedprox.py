"""Recipe of FedProx."""

from __future__ import annotations

from consilium.learning.algorithms.fedprox import FedProxAlgorithmSettings
from consilium.recipes.training import TrainingRecipe, TrainingSettings


class FedProxSettings(TrainingSettings):
    """Settings of a FedProx job; a round needs `min_sites` updates."""

    algorithm: FedProxAlgorithmSettings = FedProxAlgorithmSettings()


class FedProxRecipe(TrainingRecipe):
    """Hospitals train one model, each with a proximal term that keeps it near the received one.

    Example:
        >>> from consilium.tasks import parse_learning
        >>> learning = parse_learning({"task": "brain_tumor"}, source="my job")
        >>> recipe = FedProxRecipe(FedProxSettings(name="my_job", learning=learning))
        >>> recipe.algorithm()
        'fedprox'

    Args:
        settings: What the job decides.
    """

    settings_type = FedProxSettings
