"""Recipe of Ditto."""

from __future__ import annotations

from consilium.learning.algorithms.ditto import DittoAlgorithmSettings
from consilium.recipes.training import TrainingRecipe, TrainingSettings


class DittoSettings(TrainingSettings):
    """Settings of a Ditto job; a round needs `min_sites` updates."""

    algorithm: DittoAlgorithmSettings = DittoAlgorithmSettings()


class DittoRecipe(TrainingRecipe):
    """Hospitals train one model, and each a personal one beside it.

    Example:
        >>> from consilium.tasks import parse_learning
        >>> learning = parse_learning({"task": "brain_tumor"}, source="my job")
        >>> recipe = DittoRecipe(DittoSettings(name="my_job", learning=learning))
        >>> recipe.algorithm()
        'ditto'

    Args:
        settings: What the job decides.
    """

    settings_type = DittoSettings
