"""A site's vector with its part of the noise that hides every site in the sum.

The vector is scaled down to a Euclidean norm of a number of steps, rounded to whole steps within that norm,
and gets discrete Gaussian noise of a fixed variance in every coordinate. So a site changes the sum by at most
that norm, whatever it holds, and the number of steps alone decides how strong the noise is. It is the
distributed discrete Gaussian mechanism of Kairouz, Liu and Steinke 2021, arXiv:2102.06387, with a norm that
rounding can't exceed in place of one that it rarely does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from consilium.errors import ConfigurationError, TrainingError
from consilium.secagg.noise import LARGEST_VARIANCE, SecureIntegers, discrete_gaussian

NOISE_VARIANCE: Final = LARGEST_VARIANCE
"""Of one site's noise in every coordinate, in squared steps: so large that the steps hardly matter."""

_ROUNDINGS: Final = 20
"""How often rounding at random is tried before all is rounded towards zero, which makes nothing longer."""

_SPARE: Final = 4.0
"""Standard deviations of the rounded norm for which a vector is made shorter before it is rounded."""

Tensors = Mapping[str, NDArray[Any]]
Integers = NDArray[np.int64]


def noise_levels(noise_multiplier: float, sites: int) -> int:
    """Return of how many steps the norm is for the noise of some sites to be a multiple of it; rounded down.

    Args:
        noise_multiplier: Standard deviation of the sum's noise in every coordinate, in norms.
        sites: How many sites' noise that is.

    Raises:
        ConfigurationError: If the norm would be less than a step.

    Example:
        >>> noise_levels(1.0, 4)
        8192
    """
    levels = math.floor(math.sqrt(sites * NOISE_VARIANCE) / noise_multiplier)
    if levels < 1:
        raise ConfigurationError(
            f"noise of {noise_multiplier:g} norms has no whole step left for the updates (sites: {sites}); "
            f"allowed: at most {math.sqrt(sites * NOISE_VARIANCE):g}"
        )
    return levels


def noise_of_sites(levels: int, sites: int) -> float:
    """Return the noise multiplier of the sum of some sites' noise.

    Args:
        levels: Steps of the norm.
        sites: How many sites' noise is in the sum.

    Example:
        >>> noise_of_sites(8192, 4)
        1.0
    """
    return math.sqrt(sites * NOISE_VARIANCE) / levels


def round_within(
    tensors: Tensors, *, levels: int, step: float, weight: float, generator: np.random.Generator
) -> dict[str, Integers]:
    """Return a weighted vector in whole steps, of a norm of at most `levels` steps.

    Values are rounded up or down at random, so that their mean is kept. Where the vector is as long as is
    allowed, it is made shorter first by what rounding adds.

    Args:
        tensors: The vector.
        levels: Its largest norm.
        step: What a step is.
        weight: Multiplies it; between 0 and 1.
        generator: Decides the rounding.

    Raises:
        TrainingError: If a value is not finite, or there are too many values for so few steps.
    """
    if not tensors:  # a sum of counts alone
        return {}
    flat = np.concatenate([np.ravel(np.asarray(tensors[name])) for name in sorted(tensors)]).astype(
        np.float64
    )
    flat *= weight / step
    norm = float(np.linalg.norm(flat))
    if not math.isfinite(norm):
        raise TrainingError("an update that is not finite, or too large to be measured, can't be clipped")
    # Rounding adds at most 1/4 a coordinate on average, and varies by the norm and the root of their number.
    spare = flat.size / 4 + _SPARE * (levels + math.sqrt(flat.size) / 2)
    if spare >= levels**2:
        raise TrainingError(
            f"the update can't be rounded to so small a norm (weights: {flat.size}, steps in the norm: "
            f"{levels}); less noise or a smaller network leaves more steps"
        )
    flat *= min(1.0, math.sqrt(levels**2 - spare) / norm) if norm else 1.0
    for _ in range(_ROUNDINGS):
        rounded = np.floor(flat + generator.random(flat.size))
        if float(np.dot(rounded, rounded)) <= levels**2:
            break
    else:
        rounded = np.trunc(flat)
    return _split(rounded.astype(np.int64), tensors)


def add_noise(
    tensors: Mapping[str, Integers], kind: np.dtype[Any], integers: SecureIntegers | None = None
) -> dict[str, NDArray[Any]]:
    """Return whole steps with noise, as elements of the ring.

    Args:
        tensors: The vector in steps.
        kind: Type of the ring's elements.
        integers: Source of randomness; default: one keyed by the system.
    """
    source = integers or SecureIntegers()
    modulus = 2 ** (8 * kind.itemsize)
    noisy = {}
    for name, value in tensors.items():
        noise = discrete_gaussian(NOISE_VARIANCE, value.size, source).reshape(value.shape)
        noisy[name] = np.asarray((value + noise) % modulus, dtype=kind)  # also of a single number
    return noisy


def _split(flat: Integers, like: Tensors) -> dict[str, Integers]:
    parts, start = {}, 0
    for name in sorted(like):
        size, shape = np.size(like[name]), np.shape(like[name])
        parts[name] = flat[start : start + size].reshape(shape)
        start += size
    return parts
