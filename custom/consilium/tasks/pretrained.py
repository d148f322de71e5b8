"""Published weights of others that a task's networks can start from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedWeights:
    """Weights in a PyTorch state dict, of one of the task's networks with its channels in another order.

    Attributes:
        name: Under which they are published.
        license: Of the weights, with what their data asks for.
        network: Of the task.
        inputs: The task's inputs, in the order of the weights' channels.
        targets: Names of the task's targets, in the order of the weights' channels.
        first: Parameter whose second axis are the inputs.
        last: Parameters whose first axis are the targets.
    """

    name: str
    license: str
    network: str
    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    first: str
    last: tuple[str, ...]
