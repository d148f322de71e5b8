"""Recipe of local normalization, the FedBN idea."""

from __future__ import annotations

from pydantic import model_validator
from typing_extensions import Self

from consilium.learning.algorithms.fedbn import FedBNAlgorithmSettings
from consilium.recipes.training import TrainingRecipe, TrainingSettings


class FedBNSettings(TrainingSettings):
    """Settings of a FedBN job; a round needs `min_sites` updates."""

    algorithm: FedBNAlgorithmSettings = FedBNAlgorithmSettings()

    @model_validator(mode="after")
    def _something_stays(self) -> Self:
        if not self.learning.has_affine_normalization:
            raise ValueError(
                f"network {self.learning.network!r} has no affine parameters in its normalization, so "
                "nothing would stay at the sites: choose another one, such as learning.network=segresnet, or "
                "another job"
            )
        return self


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
