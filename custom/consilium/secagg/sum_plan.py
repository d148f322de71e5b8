"""Rules of a weighted sum, which all sites and the server have alike."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator
from typing_extensions import Self

from consilium.secagg.messages import digest_parameters
from consilium.secagg.noise import noise_room
from consilium.secagg.noisy_vector import NOISE_VARIANCE
from consilium.secagg.ring import FixedPoint, RingBits, integer_code
from consilium.secagg.summed_numbers import NumberCode
from consilium.secagg.survivor_policy import MOST_PARTIES
from consilium.settings import Settings

COUNTS: Final = 2
"""First coordinates beside the vector: weighted cases, and values that were clipped. Numbers follow."""

MOST_NUMBERS: Final = 256
"""Beside a vector."""

Tensors = Mapping[str, NDArray[Any]]


class SumPlan(Settings):
    """Rules of one weighted sum, which all sites and the server must have alike.

    They are announced by the server. A site's masks depend on them, so sites with different rules, or
    different models, only add noise to the sum.
    """

    model_config = ConfigDict(strict=True)

    bits: RingBits = Field(description="Of the ring of the vector.")
    sites: Annotated[int, Field(ge=1, le=MOST_PARTIES)] = Field(description="Most sites in the sum.")
    bound: Annotated[float, Field(gt=0, le=1e6)] = Field(
        description="Largest value of a coordinate; larger ones are clipped."
    )
    norm: Annotated[float, Field(gt=0, le=1e9)] = Field(
        description="Largest Euclidean norm of a vector; a longer one is scaled down."
    )
    full_weight_cases: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        description="Training cases of a site with full weight; more count as so many."
    )
    noise_levels: Annotated[int, Field(ge=0, le=2**31)] = Field(
        default=0,
        description="Steps of the norm where each site adds noise of a fixed variance; 0: no noise.",
    )
    training: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = Field(
        description="SHA-256 of all that the sites train by; each compares it with its own copy."
    )
    numbers: Annotated[
        dict[
            Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,63}$")],
            Annotated[float, Field(gt=0, le=1e9)],
        ],
        Field(max_length=MOST_NUMBERS),
    ] = Field(default={}, description="Further numbers in the sum, each with its largest absolute value.")

    @model_validator(mode="after")
    def _check_noise(self) -> Self:
        if not self.noise_levels:
            return self
        if self.bits != 32 or self.bound != self.norm:
            raise ValueError("noise takes the ring of 32 bits, and a bound that is the norm")
        if self.code.levels != self.noise_levels:
            raise ValueError("the ring has no room for so little noise")
        return self

    @property
    def digest(self) -> bytes:
        """SHA-256 of all of it."""
        return digest_parameters(self.model_dump(mode="json"))

    @property
    def code(self) -> FixedPoint:
        """Encoding of the vector; with noise, its room is part of it."""
        if self.noise_levels:
            room = noise_room(NOISE_VARIANCE, self.sites)
            return FixedPoint(self.bits, self.sites, self.bound, room, self.noise_levels)
        return FixedPoint(bits=self.bits, terms=self.sites, bound=self.bound)

    @property
    def count_code(self) -> FixedPoint:
        """Encoding of the counts, which are exact."""
        return integer_code(self.sites)

    @property
    def number_code(self) -> NumberCode:
        """Encoding of the further numbers."""
        return NumberCode(self.numbers, self.sites)

    @property
    def coordinates(self) -> int:
        """How many coordinates there are beside the vector."""
        return COUNTS + self.number_code.coordinates

    def counted_cases(self, cases: int) -> int:
        """Return how many of a site's training cases count."""
        return min(cases, self.full_weight_cases)

    def mask_context(self, received: Tensors) -> bytes:
        """Return what masks depend on besides their seeds: these rules, and the model that was received.

        Args:
            received: The model's tensors, by name.
        """
        digest = hashlib.sha256(self.digest)
        for name in sorted(received):
            value = np.asarray(received[name])
            digest.update(f"{name}\n{value.dtype.str}\n{value.shape}\n".encode())
            digest.update(value.tobytes())
        return digest.digest()
