"""Recipe of SCAFFOLD."""

from __future__ import annotations

from consilium.learning.algorithms.scaffold import ScaffoldAlgorithmSettings
from consilium.recipes.training import TrainingRecipe, TrainingSettings


class ScaffoldSettings(TrainingSettings):
    """Settings of a SCAFFOLD job; a round needs `min_sites` updates."""

    algorithm: ScaffoldAlgorithmSettings = ScaffoldAlgorithmSettings()


class ScaffoldRecipe(TrainingRecipe):
    """Hospitals train one model, with control variates against their drift.

    Example:
        >>> from consilium.tasks import parse_learning
        >>> learning = parse_learning({"task": "brain_tumor"}, source="my job")
        >>> recipe = ScaffoldRecipe(ScaffoldSettings(name="my_job", learning=learning))
        >>> recipe.algorithm()
        'scaffold'

    Args:
        settings: What the job decides.
    """

    settings_type = ScaffoldSettings
