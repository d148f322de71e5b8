"""Settings of weights in the manner of FedPID, Mächler et al. 2024, arXiv:2411.02152 (FeTS Challenge 2024).

The server's half has the mathematics. A site trains as with federated averaging.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from consilium.learning.algorithms.base import AlgorithmSettings


class FedPIDAlgorithmSettings(AlgorithmSettings):
    """Parts of a site's weight; the rest, up to 1, is by its training cases.

    With both 0 it is federated averaging, bit for bit.
    """

    name: Literal["fedpid"] = "fedpid"
    last_drop: float = Field(
        default=0.45, ge=0, le=1, description="Part by how much a site's loss fell since the round before."
    )
    whole_drop: float = Field(
        default=0.1, ge=0, le=1, description="Part by how much it fell since the site's first round."
    )

    @model_validator(mode="after")
    def _check_sum(self) -> Self:
        if self.last_drop + self.whole_drop > 1:
            raise ValueError("last_drop and whole_drop are parts of one weight, and together more than 1")
        return self
