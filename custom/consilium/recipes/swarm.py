"""Recipe of swarm learning."""

from __future__ import annotations

from pydantic import Field

from consilium.learning.algorithms.sealed_plan import SwarmAlgorithmSettings
from consilium.recipes.training import TrainingRecipe, TrainingSettings
from consilium.secagg.survivor_policy import FEWEST_SURVIVORS, MOST_PARTIES


class SwarmSettings(TrainingSettings):
    """Settings of a swarm job; a round needs `min_sites` updates, and at least three."""

    algorithm: SwarmAlgorithmSettings = SwarmAlgorithmSettings()
    min_sites: int = Field(
        default=FEWEST_SURVIVORS,
        ge=FEWEST_SURVIVORS,
        le=MOST_PARTIES,
        description="Fewest sites that the job can do with.",
    )
    rollback_margin: float | None = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Drop a round whose model's key metric is worse by more than this; null: never. The "
        "defense against a hospital that combines the updates to a model of its own.",
    )


class SwarmRecipe(TrainingRecipe):
    """Hospitals train one model; each combines the updates in its turns, and the server can't read them.

    Example:
        >>> from consilium.tasks import parse_learning
        >>> learning = parse_learning({"task": "brain_tumor"}, source="my job")
        >>> SwarmRecipe(SwarmSettings(name="my_job", learning=learning)).algorithm()
        'swarm'

    Args:
        settings: What the job decides.
    """

    settings_type = SwarmSettings
