"""Recipe of cyclic weight transfer."""

from __future__ import annotations

from pydantic import Field, model_validator
from typing_extensions import Self

from consilium.aggregation.rules import AggregationSettings
from consilium.learning.algorithms.cyclic import CyclicAlgorithmSettings
from consilium.recipes.training import TrainingRecipe, TrainingSettings
from consilium.settings import MAX_SITES


class CyclicSettings(TrainingSettings):
    """Settings of a cyclic job: a round is one hospital's turn, and `min_sites` hospitals answer it."""

    algorithm: CyclicAlgorithmSettings = CyclicAlgorithmSettings()
    min_sites: int = Field(
        default=2,
        ge=2,
        le=MAX_SITES,
        description="Fewest hospitals that train and answer a round: one with an update, all with scores.",
    )
    rounds: int = Field(
        default=24, ge=1, le=10_000, description="Turns of all hospitals together, one after the other."
    )
    aggregation: AggregationSettings = AggregationSettings(max_site_share=1.0)
    rollback_margin: float | None = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Drop a round whose model's key metric is worse by more than this at more than half of "
        "the sites; null: never. The defense against a hospital that spoils the model in its turn, if there "
        "are more than two.",
    )

    @model_validator(mode="after")
    def _one_update_a_round(self) -> Self:
        """Refuse what needs several updates in a round, by name."""
        if self.aggregation.rule != "mean":
            raise ValueError(
                f"aggregation.rule {self.aggregation.rule!r} combines several updates, and a cyclic round "
                "has one; allowed: 'mean'"
            )
        if self.aggregation.max_site_share < 1:
            raise ValueError(
                "aggregation.max_site_share limits a site's share in a round, and a cyclic round is one "
                "site's; allowed: 1"
            )
        return self

    @model_validator(mode="after")
    def _all_have_a_turn(self) -> Self:
        if self.rounds < self.min_sites:
            raise ValueError(
                f"rounds is {self.rounds} and min_sites {self.min_sites}: a round is one hospital's turn, "
                "and some would have none; give at least as many rounds as hospitals, or several times that"
            )
        if self.quorum.attempts == 1:
            raise ValueError(
                "quorum.attempts is 1, so the first hospital that misses its turn would end the job; "
                "allowed: 2 or more, as the next attempt is the next hospital's turn"
            )
        return self


class CyclicRecipe(TrainingRecipe):
    """Hospitals train one model, one after the other; each sees the update of the one before.

    Example:
        >>> from consilium.tasks import parse_learning
        >>> learning = parse_learning({"task": "brain_tumor"}, source="my job")
        >>> CyclicRecipe(CyclicSettings(name="my_job", learning=learning)).summary
        'unet_small, 2 mm, 24 rounds, at least 2 sites'

    Args:
        settings: What the job decides.
    """

    settings_type = CyclicSettings
