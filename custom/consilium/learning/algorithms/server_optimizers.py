"""Settings of the server's optimizers: FedAvgM (arXiv:1909.06335), FedAdam and FedYogi (arXiv:2003.00295).

Only the server's half differs from federated averaging; its module has the mathematics and the costs. A site
trains as with federated averaging.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from consilium.learning.algorithms.base import AlgorithmSettings


class FedAvgMAlgorithmSettings(AlgorithmSettings):
    """Momentum at the server; with momentum 0 and rate 1 it is federated averaging, bit for bit."""

    name: Literal["fedavgm"] = "fedavgm"
    server_rate: float = Field(default=1.0, gt=0, le=10, description="Rate of the server's step.")
    momentum: float = Field(
        default=0.5, ge=0, le=0.99, description="Share of the last step that the next one repeats."
    )


class _AdaptiveAlgorithmSettings(AlgorithmSettings):
    """What the adaptive optimizers have in common; beta1, beta2 and tau as in the paper's experiments."""

    server_rate: float = Field(
        default=0.01,
        gt=0,
        le=1,
        description="Rate of the server's step: about the largest change of a weight in a round.",
    )
    beta1: float = Field(default=0.9, ge=0, le=0.999, description="Decay of the mean of the rounds' changes.")
    beta2: float = Field(default=0.99, ge=0, le=0.9999, description="Decay of the mean of their squares.")
    tau: float = Field(
        default=1e-3,
        ge=1e-8,
        le=1,
        description="Changes well below it are not scaled up to the size of the others.",
    )


class FedAdamAlgorithmSettings(_AdaptiveAlgorithmSettings):
    """Adam at the server."""

    name: Literal["fedadam"] = "fedadam"


class FedYogiAlgorithmSettings(_AdaptiveAlgorithmSettings):
    """Yogi at the server: Adam whose second moment can grow, but not shrink, quickly."""

    name: Literal["fedyogi"] = "fedyogi"
