"""Labels that lack some targets: what a model is trained on and scored by at such a hospital.

The labels of a hospital may mark a whole and not distinguish one of its parts. Its network's outputs for a
missing target get no gradient, and its scores are those of the other targets.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from consilium.errors import ConfigurationError
from consilium.tasks.base import Target
from consilium.tasks.evaluation import Evaluation
from consilium.tasks.histograms import MetricBins
from consilium.tasks.measures import Measure
from consilium.tasks.metrics import MetricSet, Scores

if TYPE_CHECKING:
    from torch import Tensor, nn

    from consilium.data.cached_case import CachedCase
    from consilium.tasks.learning_settings import LearningSettings
    from consilium.tasks.method import Method


@runtime_checkable
class PartialMethod(Protocol):
    """A `Method` whose loss can leave targets out."""

    def build_partial_loss(self, settings: Any, missing: Collection[str]) -> nn.Module:
        """Build the loss without some targets; what it takes stays the same, and they have no gradient.

        Args:
            settings: What the job decides.
            missing: Names of the targets to leave out; never all of them.
        """


class PartialEvaluation(Evaluation):
    """An evaluation without the metrics of some targets; the mean over targets is over the others.

    Args:
        evaluation: The task's.
        missing: Names of the targets to leave out.

    Raises:
        ConfigurationError: If nothing remains to select models by.
    """

    def __init__(self, evaluation: Evaluation, missing: Collection[str]) -> None:
        self._whole = evaluation
        self._metrics = evaluation.metrics.without_targets(missing)
        self.version = evaluation.version

    @property
    def metrics(self) -> MetricSet:
        """The task's metrics without those of the missing targets."""
        return self._metrics

    def reference(self, case: CachedCase) -> Tensor:
        """Return what a prediction is compared with, missing targets included; see `Evaluation.reference`."""
        return self._whole.reference(case)

    def score(self, prediction: Tensor, case: CachedCase, *, final: bool) -> Scores:
        """Score one labeled case by the metrics that remain."""
        return self.restrict(self._whole.score(prediction, case, final=final))

    def derive(self, scores: Mapping[str, float]) -> Scores:
        """Return the metrics that follow from others, as far as they remain."""
        return self._whole.derive(scores)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Those of the metrics that remain."""
        known = {one.name for one in self._metrics.metrics}
        return tuple(one for one in super().measures if one.name in known)

    @property
    def bins(self) -> Mapping[str, MetricBins]:
        """The task's bins of `measures`."""
        return {one.name: self._whole.bins[one.name] for one in self.measures}

    def restrict(self, scores: Mapping[str, float]) -> Scores:
        """Return a case's scores without those of missing targets; means are computed again.

        Args:
            scores: Of a case, by all of the task's metrics.
        """
        measured = {one.name for one in self._metrics.metrics if one.is_measured}
        return self.complete({name: value for name, value in scores.items() if name in measured})


def build_loss(method: Method[Any], settings: LearningSettings, missing: Collection[str]) -> nn.Module:
    """Build a task's loss of the targets that labels have.

    Args:
        method: The task's.
        settings: What the job decides.
        missing: Names of the targets that the labels lack; none for the whole loss.

    Raises:
        ConfigurationError: If the task has no such loss.
    """
    if not missing:
        return method.build_loss(settings)
    if not isinstance(method, PartialMethod):
        raise ConfigurationError(
            f"{settings.task} can't be learned from labels without {', '.join(sorted(missing))}; leave "
            "missing_targets out, or this task"
        )
    return method.build_partial_loss(settings, missing)


def partial_evaluation(evaluation: Evaluation, missing: Collection[str]) -> Evaluation:
    """Return an evaluation without some targets; itself where none is missing.

    Raises:
        ConfigurationError: If a target is unknown, or nothing remains to select models by.
    """
    return PartialEvaluation(evaluation, missing) if missing else evaluation


def describe_missing_targets(targets: Sequence[Target], missing: Collection[str]) -> str:
    """Return what a hospital does whose labels lack some targets, in words.

    Args:
        targets: The task's.
        missing: Names of those that the hospital's labels lack.
    """
    kept = [one.name for one in targets if one.name not in missing]
    return (
        f"Without {' and '.join(missing)}, as the hospital agrees in missing_targets of its settings: it "
        f"trains and scores {' and '.join(kept)} only, and declines jobs that evaluate models or aggregate "
        "securely"
    )


def check_missing_targets(targets: Sequence[Target], missing: Collection[str]) -> None:
    """Check that targets can be missing at a hospital.

    Args:
        targets: The task's.
        missing: Names of those that the hospital's labels lack.

    Raises:
        ConfigurationError: If one is unknown, or none is left.
    """
    known = [one.name for one in targets]
    unknown = [name for name in missing if name not in known]
    if unknown:
        raise ConfigurationError(
            f"missing_targets: {', '.join(map(repr, unknown))} unknown; allowed: {', '.join(known)}"
        )
    if known and set(known) <= set(missing):
        raise ConfigurationError(
            f"missing_targets: labels without {', '.join(known)} have nothing to learn from; leave one out"
        )
