"""Base of every imaging problem: the protocol that the rest of the package uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from consilium.tasks.learning_settings import LearningSettings

if TYPE_CHECKING:
    from consilium.data.case_format import CaseFormat
    from consilium.data.problem_code import ProblemCode
    from consilium.tasks.bundling import Bundling
    from consilium.tasks.evaluation import Evaluation
    from consilium.tasks.features import StatisticsFeatures
    from consilium.tasks.method import Method
    from consilium.tasks.prediction import Prediction
    from consilium.tasks.presentation import Presentation
    from consilium.tasks.pretrained import PublishedWeights
    from consilium.tasks.synthetic import SyntheticCohort


@dataclass(frozen=True, slots=True)
class Target:
    """A prediction target: a region, a grade, a number.

    Attributes:
        name: Short name in metrics and settings, for example `lesion`.
        title: Name for people.
    """

    name: str
    title: str


class Task(Protocol):
    """One imaging problem: inputs, targets, method and evaluation.

    Every process reads tasks' names, inputs and targets, and few ever build a network, so an implementation
    imports torch and MONAI only in its `method`.
    """

    @property
    def name(self) -> str:
        """Name by which a job asks for the task."""

    @property
    def title(self) -> str:
        """Name for people."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the images of a case, in the order in which the network takes them."""

    @property
    def codes(self) -> Sequence[type[ProblemCode]]:
        """Codes of problems with the task's cases, besides `DataCode`."""

    @property
    def evaluation(self) -> Evaluation:
        """The metrics, and how cases, sites and federations are scored."""

    @property
    def presentation(self) -> Presentation | None:
        """Pictures of a case with what a model found; None for a task that has none."""

    @property
    def targets(self) -> Sequence[Target]:
        """Prediction targets, in the network's order."""

    @property
    def settings_type(self) -> type[LearningSettings]:
        """Class of a job's learning settings for the task."""

    @property
    def cases(self) -> CaseFormat:
        """Finding, reading and preparation of its cases."""

    @property
    def method(self) -> Method[Any]:
        """Networks, loss, samples and inference."""

    @property
    def prediction(self) -> Prediction:
        """How new cases are predicted, and what is written of them for people."""

    @property
    def bundling(self) -> Bundling | None:
        """How its models become MONAI bundles; None for a task whose models can't."""

    @property
    def pretrained(self) -> Sequence[PublishedWeights]:
        """Published weights that its networks can start from; empty for a task that knows none."""

    @property
    def synthetic(self) -> SyntheticCohort | None:
        """Synthetic hospitals to try the task on; None for a task that has none."""

    @property
    def jobs(self) -> Mapping[str, Mapping[str, Any]]:
        """Settings of the task's jobs that differ from those of the recipes.

        By the end of a job's name: `fedavg`, `check`, `stats`, the name of another algorithm such as
        `fedprox`, or one of these with `_` and a word, such as `fedavg_gpu`. A task has a job of each of
        `fedavg`, `check` and `stats`, even if nothing is stated here.
        """

    @property
    def statistics(self) -> StatisticsFeatures:
        """Statistics of patients before any training."""
