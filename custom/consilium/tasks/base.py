"""What an imaging problem states about itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from consilium.tasks.settings import LearningSettings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from consilium.tasks.evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class Target:
    """One thing that a model predicts: a region, a grade, a number.

    Attributes:
        name: Short name in metrics and settings, for example `wt`.
        title: Name for people.
    """

    name: str
    title: str


class Task(Protocol):
    """One imaging problem: what goes in, what comes out, and how it is learned and evaluated.

    Every process names tasks and reads their inputs and targets, few ever build a network: an implementation
    loads torch and MONAI in the methods that need them.
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
    def evaluation(self) -> Evaluation:
        """The metrics, and how cases, sites and federations are scored."""

    @property
    def targets(self) -> Sequence[Any]:
        """What is predicted, in the network's order."""

    @property
    def settings_type(self) -> type[LearningSettings]:
        """What a job decides about learning the task."""

    def build_network(self, name: str) -> nn.Module:
        """Build a network, randomly initialized: images `(N, C, X, Y, Z)` to logits `(N, R, X, Y, Z)`."""

    def build_loss(self) -> nn.Module:
        """Build the loss: region logits and region targets, both `(N, R, X, Y, Z)` -> scalar."""

    def to_tissues(self, regions: Tensor) -> Tensor:
        """Turn boolean regions `(R, X, Y, Z)` into one canonical label map `(X, Y, Z)`, uint8."""
