"""Fixed-point numbers in the integers modulo 2**16 or 2**32, with room for the sum of all sites' numbers.

Masks are uniform in a finite ring, so what is masked has to be integers of it. A site multiplies each value
by its weight, rounds it to a multiple of a step, and the server adds up the multiples. The step is chosen so
that no sum of `terms` values reaches half of the ring: nothing wraps, whatever the sites' values are, because
each of them is clipped to a bound first, and clipped values are counted.

Rounding is stochastic: up with the probability of the fraction that is cut off. So the mean of what is
decoded is the value itself, and rounding errors of many sites and rounds cancel (Gupta et al. 2015,
arXiv:1502.02551, section 3.1).
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from consilium.counts import counted
from consilium.errors import ConfigurationError, TrainingError

RingBits: TypeAlias = Literal[16, 32]

SMALL_RING_LEVELS: Final = 2**9 - 1
"""Largest multiple of one value in the ring of 16 bits: 10 bits with the sign, with room for 64 values."""

_BLOCK_VALUES: Final = 2**16
_TYPES: Final[dict[int, tuple[np.dtype[Any], np.dtype[Any]]]] = {
    16: (np.dtype("<u2"), np.dtype("<i2")),
    32: (np.dtype("<u4"), np.dtype("<i4")),
}


@dataclass(frozen=True)
class FixedPoint:
    """Encoding of numbers between -bound and bound, of which up to `terms` are added up.

    Example:
        >>> code = FixedPoint(bits=32, terms=3, bound=1.0)
        >>> generator = rounding_generator()
        >>> encoded = [code.encode(np.array([value]), generator=generator)[0] for value in (0.5, 0.25, -1.0)]
        >>> float(np.round(code.decode(sum(encoded))[0], 6))
        -0.25

    Args:
        bits: Of the ring: 16 or 32.
        terms: Most values in a sum.
        bound: Largest value that is encoded as it is; larger ones are clipped to it.
        room: Part of the ring that is kept free for noise, in steps.
        most_levels: Largest multiple of the step that a single value may become; None for what has room.

    Raises:
        ConfigurationError: If there is no room for so many values, or the bound is not a positive number.
    """

    bits: RingBits
    terms: int
    bound: float
    room: int = 0
    most_levels: int | None = None

    def __post_init__(self) -> None:
        if self.terms < 1 or not 0 < self.bound < math.inf or self.room < 0:
            raise ConfigurationError(
                f"a ring for {self.terms} values up to {self.bound} with a room of {self.room}; allowed: at "
                "least 1 value, a positive finite bound, and a room of 0 or more"
            )
        if self.levels < 1:
            raise ConfigurationError(
                f"a ring of {self.bits} bits has no room for {self.terms} values and a noise of "
                f"{counted(self.room, 'step')}; allowed: fewer sites, less noise, or 32 bits"
            )

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the ring's elements: unsigned, little-endian."""
        return _TYPES[self.bits][0]

    @property
    def levels(self) -> int:
        """Largest multiple of the step that a single value becomes."""
        most: int = (2 ** (self.bits - 1) - 1 - self.room) // self.terms
        most = min(most, SMALL_RING_LEVELS) if self.bits == 16 else most
        return most if self.most_levels is None else min(most, self.most_levels)

    @property
    def step(self) -> float:
        """Distance of two encoded values."""
        return self.bound / self.levels

    def encode(
        self, values: NDArray[Any], *, generator: np.random.Generator, weight: float = 1.0
    ) -> tuple[NDArray[Any], int]:
        """Return values as elements of the ring, and how many were clipped to the bound.

        Args:
            values: Of any shape.
            generator: Decides the rounding; see `rounding_generator`.
            weight: Multiplies each value after it was clipped; between 0 and 1.

        Raises:
            TrainingError: If a value or the weight is not finite, or the weight is out of its range.
        """
        if not 0 <= weight <= 1:
            raise TrainingError(f"a site's weight in a sum is {weight}; allowed: 0 to 1")
        flat = np.ravel(np.asarray(values))
        encoded = np.empty(flat.shape, self.dtype)
        signed = encoded.view(_TYPES[self.bits][1])
        clipped = 0
        for start in range(0, flat.size, _BLOCK_VALUES):
            part = flat[start : start + _BLOCK_VALUES].astype(np.float64)
            lowest, highest = part.min(), part.max()
            if not (math.isfinite(lowest) and math.isfinite(highest)):
                raise TrainingError("an update that is not finite can't be encoded")
            if lowest < -self.bound or highest > self.bound:
                clipped += int(np.count_nonzero(np.abs(part) > self.bound))
                np.clip(part, -self.bound, self.bound, out=part)
            part *= weight / self.step
            part += generator.random(part.size)
            np.floor(part, out=part)
            np.clip(part, -self.levels, self.levels, out=part)
            signed[start : start + _BLOCK_VALUES] = part
        return encoded.reshape(np.shape(values)), clipped

    def decode(self, total: NDArray[Any]) -> NDArray[np.float64]:
        """Return the sum of values from the sum of their elements.

        Args:
            total: Elements of the ring; of one value or of up to `terms`.
        """
        signed = np.ascontiguousarray(total).view(_TYPES[self.bits][1])
        return np.asarray(signed.reshape(np.shape(total)) * self.step, dtype=np.float64)


def integer_code(terms: int) -> FixedPoint:
    """Return the encoding of counts, which are exact: 32 bits with a step of 1.

    Args:
        terms: Most counts in a sum. Each is clipped to the bound, the largest that has room.
    """
    return FixedPoint(bits=32, terms=terms, bound=float((2**31 - 1) // terms))


def rounding_generator() -> np.random.Generator:
    """Return a generator for rounding, which nobody can predict and no two rounds share."""
    return np.random.Generator(np.random.SFC64(secrets.randbits(128)))


def norm_factor(tensors: Iterable[NDArray[Any]], most: float) -> float:
    """Return by what an update is multiplied to have at most a Euclidean norm; 1 if it has.

    Args:
        tensors: The update.
        most: The norm.

    Raises:
        TrainingError: If a value is not finite.

    Example:
        >>> norm_factor([np.array([3.0, 4.0])], 2.5)
        0.5
    """
    squares = sum(float(np.sum(np.square(value, dtype=np.float64))) for value in tensors)
    if not math.isfinite(squares):
        raise TrainingError("an update that is not finite, or too large to be measured, can't be clipped")
    return min(1.0, most / math.sqrt(squares)) if squares else 1.0
