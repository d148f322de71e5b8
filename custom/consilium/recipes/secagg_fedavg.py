"""Recipe of federated averaging by secure aggregation."""

from __future__ import annotations

from typing import Final

import numpy as np
from pydantic import Field, ValidationError, model_validator
from typing_extensions import Self

from consilium.aggregation.rules import AggregationSettings
from consilium.counts import counted
from consilium.federation.updates.screening import ScreeningSettings
from consilium.learning.algorithms.secagg_plan import SecAggFedAvgSettings, plan_sum
from consilium.recipes.training import TrainingRecipe, TrainingSettings
from consilium.secagg.survivor_policy import MOST_PARTIES

_MOST_STEPS: Final = 1_000_000
"""Of a round, as their learning rates are added up before each, by the server and every site."""


class SecAggSettings(TrainingSettings):
    """Settings of a job by secure aggregation; a round needs `min_sites` updates, and at least three."""

    algorithm: SecAggFedAvgSettings = SecAggFedAvgSettings()
    min_sites: int = Field(
        default=3, ge=3, le=MOST_PARTIES, description="Fewest sites that the job can do with."
    )
    aggregation: AggregationSettings = AggregationSettings(max_site_share=1.0)
    screening: ScreeningSettings = ScreeningSettings(max_norm_ratio=None)
    rollback_margin: float | None = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Drop a round whose model's key metric is worse by more than this; null: never. The only "
        "defense against an update that spoils the model, as no update is seen.",
    )

    @model_validator(mode="after")
    def _sees_no_update(self) -> Self:
        """Refuse what needs single updates, by name."""
        if self.aggregation.rule != "mean":
            raise ValueError(
                f"aggregation.rule {self.aggregation.rule!r} needs every single update, which secure "
                "aggregation hides; allowed: 'mean'"
            )
        if self.aggregation.max_site_share < 1:
            raise ValueError(
                "aggregation.max_site_share needs each site's training cases at the server; allowed: 1. "
                "algorithm.full_weight_cases limits a site's weight"
            )
        if self.screening.max_norm_ratio is not None:
            raise ValueError(
                "screening.max_norm_ratio measures single updates, which secure aggregation hides; allowed: "
                "null. Each site clips its own update: algorithm.max_norm"
            )
        return self

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        """Refuse to ask for more sites than a sum has room for: no round would ever count."""
        wanted = max(self.min_sites, len({*self.quorum.mandatory_sites}))
        if wanted > self.algorithm.most_sites:
            raise ValueError(
                f"min_sites or quorum.mandatory_sites ask for {counted(wanted, 'site')}, and the sum has "
                f"room for algorithm.most_sites, {self.algorithm.most_sites}; raise it, or ask for fewer"
            )
        return self

    @model_validator(mode="after")
    def _limits_updates(self) -> Self:
        """Refuse limits of updates that no sum can have: they follow from the learning rates of the steps."""
        steps = self.learning.steps_per_round(self.algorithm.full_weight_cases)
        if steps > _MOST_STEPS:
            raise ValueError(
                f"a site of algorithm.full_weight_cases ({self.algorithm.full_weight_cases}) takes "
                f"{counted(steps, 'step')} in a round; allowed: {_MOST_STEPS} or fewer, by that setting or "
                "learning.local_epochs"
            )
        try:
            plan_sum(self.algorithm, self.learning, self.rounds, 0, {"": np.zeros(1, np.float32)})
        except ValidationError:
            raise ValueError(
                "algorithm.bound_ratio or max_norm, learning.learning_rate and the steps of a round give a "
                "limit of updates that can't be used; allowed: more than 0, up to a million"
            ) from None
        return self

    @model_validator(mode="after")
    def _check_releases(self) -> Self:
        """Refuse what would leave beside the noisy sum."""
        if self.algorithm.hospital_noise is None:
            return self
        if self.rollback_margin is not None:
            raise ValueError(
                "rollback_margin compares scores of rounds, and with algorithm.hospital_noise none leaves a "
                "site; give null"
            )
        if self.local_only:
            raise ValueError(
                "local_only trains a model without noise on the same patients, and its scores leave; with "
                "algorithm.hospital_noise, leave it out"
            )
        return self


class SecAggRecipe(TrainingRecipe):
    """Hospitals train one model; the server learns the mean of their updates, and no single update.

    Example:
        >>> from consilium.tasks import parse_learning
        >>> learning = parse_learning({"task": "brain_tumor"}, source="my job")
        >>> SecAggRecipe(SecAggSettings(name="my_job", rounds=3, learning=learning)).name
        'my_job'

    Args:
        settings: What the job decides.
    """

    settings_type = SecAggSettings
