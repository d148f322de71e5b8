"""Recipe of federated averaging."""

from __future__ import annotations

from consilium.learning.algorithms.fedavg import FedAvgAlgorithmSettings
from consilium.recipes.training import TrainingRecipe, TrainingSettings


class FedAvgSettings(TrainingSettings):
    """Settings of a federated averaging job; a round needs `min_sites` updates."""

    algorithm: FedAvgAlgorithmSettings = FedAvgAlgorithmSettings()


class FedAvgRecipe(TrainingRecipe):
    """Hospitals train one model; the server combines their updates, by default weighted by training cases.

    Example:
        >>> from consilium.tasks import parse_learning
        >>> learning = parse_learning({"task": "brain_tumor"}, source="my job")
        >>> recipe = FedAvgRecipe(FedAvgSettings(name="my_job", rounds=3, learning=learning))
        >>> recipe.name
        'my_job'

    Args:
        settings: What the job decides.
    """

    settings_type = FedAvgSettings
