"""Plan of a model trained without a federation: on one site's cases, or on those of several sites pooled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from consilium.errors import ConfigurationError
from consilium.learning.standalone import Standalone
from consilium.learning.weights import Weights
from consilium.participant.site_data import SiteData
from consilium.tasks.learning_settings import LearningSettings


@dataclass(frozen=True)
class StandalonePlan:
    """One model to train with a federation's settings, but without the federation.

    It starts from the weights that the federation starts from and takes as many steps as a site takes there.

    Attributes:
        data: The cases. Only `train` is trained on.
        learning: The settings of every step.
        rounds: The federation's rounds.
        trained: What the model's file states about it.
        start: The model that the federation starts from; None where it starts from drawn weights.
    """

    data: SiteData
    learning: LearningSettings
    rounds: int
    trained: Standalone
    start: Weights | None = None

    @classmethod
    def local_only(
        cls,
        site: str,
        data: SiteData,
        learning: LearningSettings,
        rounds: int,
        *,
        start: Weights | None = None,
    ) -> StandalonePlan:
        """Plan a model of one site's cases, on the samples that the site draws in the federation.

        Args:
            site: The site's name.
            data: The site's cases.
            learning: The federation's settings.
            rounds: The federation's rounds.
            start: See `StandalonePlan`.
        """
        # Without the limits on what leaves a hospital: nothing does.
        unlimited = replace(data, min_update_patients=1, min_loss_patients=1, max_left_out=1.0)
        trained = Standalone(kind="local-only", sites=(site,), split=data.split)
        return cls(unlimited, learning, rounds, trained, start)

    @classmethod
    def pooled(
        cls,
        sites: Mapping[str, SiteData],
        learning: LearningSettings,
        rounds: int,
        *,
        start: Weights | None = None,
    ) -> StandalonePlan:
        """Plan a model of the training cases of several sites.

        Each step takes as many samples as a step of all training sites together, which is what averaging
        after every step would be.

        Args:
            sites: The sites; those without training cases don't count.
            learning: The federation's settings.
            rounds: The federation's rounds.
            start: See `StandalonePlan`.

        Raises:
            ConfigurationError: The labels of a site lack targets.
        """
        lacking = [name for name, data in sites.items() if data.missing_targets]
        if lacking:
            raise ConfigurationError(
                f"the labels of {', '.join(lacking)} lack targets (missing_targets), and a pooled model has "
                "one loss for all patients: leave these sites out"
            )
        training = {name: data for name, data in sites.items() if data.train}
        cases = tuple(case for data in training.values() for case in data.train)
        larger = learning.model_copy(update={"batch_size": learning.batch_size * len(training)})
        trained = Standalone(kind="pooled", sites=tuple(training))
        return cls(SiteData(cases, (), ()), larger, rounds, trained, start)

    @property
    def steps(self) -> int:
        """Steps of all rounds."""
        return self.rounds * self.learning.steps_per_round(len(self.data.train))
