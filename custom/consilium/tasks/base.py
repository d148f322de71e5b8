"""What an imaging problem has to say about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from consilium.tasks.brain_tumor.labels import Tissue

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Region:
    """A region that the network segments: a union of tissues.

    Attributes:
        name: Short name in metrics and settings, for example `wt`.
        title: Name for people.
        tissues: The canonical label values that belong to it.
    """

    name: str
    title: str
    tissues: frozenset[Tissue]


class Task(Protocol):
    """One imaging problem: what goes in, what comes out, and how it is learned and judged.

    Every process names tasks and reads their modalities and regions, few ever build a network: an
    implementation loads torch and MONAI in the methods that need them.
    """

    @property
    def name(self) -> str:
        """Name by which a job asks for the task."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """The input channels, in the network's order."""

    @property
    def regions(self) -> tuple[Region, ...]:
        """The output channels, in the network's order; regions may overlap."""

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the networks that `build_network` knows."""

    def build_network(self, name: str) -> nn.Module:
        """Build a network, randomly initialized: images `(N, C, X, Y, Z)` to logits `(N, R, X, Y, Z)`."""

    def build_loss(self) -> nn.Module:
        """Build the loss: region logits and region targets, both `(N, R, X, Y, Z)` -> scalar."""

    def to_tissues(self, regions: Tensor) -> Tensor:
        """Turn boolean regions `(R, X, Y, Z)` into one canonical label map `(X, Y, Z)`, uint8."""
