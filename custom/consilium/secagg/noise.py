"""Integer noise inside the ring: each site adds a part, and only the sum has the variance that is wanted.

Discrete Gaussian noise is sampled exactly, with integers only, by algorithms 1 to 3 of Canonne, Kamath and
Steinke 2020, arXiv:2004.00010, so no rounding of floats weakens it (Mironov 2012, doi
10.1145/2382196.2382264). The sum over sites is not itself a discrete Gaussian; what it protects is bounded by
`summed_noise_epsilon`, after Kairouz, Liu and Steinke 2021, arXiv:2102.06387, theorem 1.

With secure aggregation the server sees only the sum. To protect it as one site's noise of variance `v` would
protect its own update, each of `m` sites adds a variance of `v / m`: 1/sqrt(m) of the standard deviation.
"""

from __future__ import annotations

import math
import secrets
from typing import Final

import numpy as np
from numpy.typing import NDArray

from consilium.counts import counted
from consilium.errors import ConfigurationError
from consilium.secagg.masks import KeyStream

LARGEST_VARIANCE: Final = 2**24
"""Of one site's noise, in squared steps. The largest for which every comparison fits 63 bits. A standard
deviation of 4096 steps is far more than the rounding of values; for more noise, choose a larger step."""

_BLOCK: Final = 2**16
_FEWEST_DRAWN: Final = 64

Integers = NDArray[np.int64]


class SecureIntegers:
    """Uniform integers from a cryptographic generator.

    Args:
        key: 32 bytes; None to draw them from the system. Only a test gives one.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._stream = KeyStream(secrets.token_bytes(32) if key is None else key)

    def below(self, bounds: Integers) -> Integers:
        """Return for each bound an integer from 0 to it, the bound excluded; each is equally likely.

        Args:
            bounds: From 1 to 2**62, in one axis.
        """
        # Bits of the bound, then rejection: exact, and half of the draws are used at least.
        widths = np.frexp(bounds.astype(np.float64))[1]
        masks = (np.uint64(1) << np.minimum(widths, 63).astype(np.uint64)) - np.uint64(1)
        drawn = np.empty(bounds.shape, np.int64)
        pending = np.arange(bounds.size)
        while pending.size:
            raw = self._raw(pending.size) & masks[pending]
            values = raw.astype(np.int64)
            drawn[pending] = values
            pending = pending[values >= bounds[pending]]
        return drawn

    def coins(self, count: int) -> NDArray[np.bool_]:
        """Return fair coins."""
        return (self._raw(count) & np.uint64(1)).astype(np.bool_)

    def _raw(self, count: int) -> NDArray[np.uint64]:
        parts = []
        while count:
            taken = min(count, 2**15)
            parts.append(np.frombuffer(self._stream.read(8 * taken), "<u8").copy())
            count -= taken
        return np.concatenate(parts) if parts else np.empty(0, np.uint64)


def discrete_gaussian(variance: int, size: int, integers: SecureIntegers | None = None) -> Integers:
    """Return independent samples of the discrete Gaussian distribution around 0.

    A value x has a probability proportional to exp(-x**2 / (2 * variance)).

    Args:
        variance: From 1 to `LARGEST_VARIANCE`, in squared steps.
        size: How many samples.
        integers: Source of randomness; default: one keyed by the system.

    Raises:
        ConfigurationError: If the variance is out of its range.
    """
    if not 1 <= variance <= LARGEST_VARIANCE:
        raise ConfigurationError(
            f"noise of a variance of {variance} squared steps; allowed: 1 to {LARGEST_VARIANCE}"
        )
    source = integers or SecureIntegers()
    scale = math.isqrt(variance) + 1
    samples = np.empty(size, np.int64)
    done = 0
    while done < size:
        wanted = min(_BLOCK, max(size - done, _FEWEST_DRAWN))
        drawn = _discrete_laplace(scale, wanted, source)
        # Larger ones, of a probability below exp(-90), have no room in 63 bits and exp(-4000) to be accepted.
        drawn = drawn[np.abs(drawn) <= 90 * scale]
        # exp(-(|y| - variance / scale)**2 / (2 variance)), as a fraction of integers
        numerators = (np.abs(drawn) * scale - variance) ** 2
        denominator = 2 * variance * scale**2
        kept = drawn[_bernoulli_exp(numerators, np.full(drawn.shape, denominator, np.int64), source)]
        taken = kept[: size - done]
        samples[done : done + taken.size] = taken
        done += taken.size
    return samples


def per_site_variance(total: float, fewest_sites: int) -> int:
    """Return the variance that each site adds for the sum to have at least a total, whichever sites drop out.

    A site that drops out takes its noise along. So each adds as much as is needed if only the fewest sites
    remain with which a sum may be opened: with all `n` sites the sum has `n / fewest_sites` times the total.

    Args:
        total: Variance that the sum needs, in squared steps.
        fewest_sites: With which a sum is opened: the threshold.

    Returns:
        The variance of one site's noise; rounded up.

    Raises:
        ConfigurationError: If a site would have to add more than `LARGEST_VARIANCE`.

    Example:
        >>> per_site_variance(900.0, 3)
        300
    """
    if fewest_sites < 1 or not 0 < total < math.inf:
        raise ConfigurationError(
            f"noise of a total variance of {total} from {counted(fewest_sites, 'site')}; allowed: a positive "
            "finite one, from at least 1 site"
        )
    variance = math.ceil(total / fewest_sites)
    if variance > LARGEST_VARIANCE:
        raise ConfigurationError(
            f"each of {counted(fewest_sites, 'site')} would add a variance of {variance} squared steps; "
            f"allowed: {LARGEST_VARIANCE}; choose a larger bound or a smaller ring, so that a step is larger"
        )
    return variance


def noise_room(variance: int, sites: int) -> int:
    """Return how far a sum of noise goes at most, in steps: 9 standard deviations.

    It is less than 1 in 10**18 for a value to be further away; it then wraps, which costs accuracy and no
    protection.

    Args:
        variance: Of one site's noise.
        sites: Most sites that add some.

    Example:
        >>> noise_room(100, 16)
        360
    """
    return math.ceil(9 * math.sqrt(variance * sites))


def summed_noise_epsilon(sensitivity: float, variance: float, sites: int, dimension: int) -> float:
    """Return epsilon of the sum's 0.5 * epsilon**2 concentrated differential privacy.

    Args:
        sensitivity: Euclidean norm by which one patient or site changes the sum, in steps.
        variance: Of one site's noise, in squared steps; at least 0.25.
        sites: Sites whose noise is in the sum.
        dimension: Number of coordinates.

    Raises:
        ConfigurationError: If the theorem has nothing to say about so little noise.
    """
    if variance < 0.25 or sites < 1:
        raise ConfigurationError(
            f"the bound is for a variance of at least 0.25 from at least 1 site, not {variance} from {sites}"
        )
    # How far a sum of discrete Gaussians is from a discrete Gaussian.
    gap = 10 * sum(math.exp(-2 * math.pi**2 * variance * k / (k + 1)) for k in range(1, sites))
    spread = math.sqrt(variance * sites)
    return min(
        math.sqrt((sensitivity / spread) ** 2 + gap * dimension / 2),
        sensitivity / spread + gap * math.sqrt(dimension),
    )


def _discrete_laplace(scale: int, count: int, source: SecureIntegers) -> Integers:
    """Samples with probabilities proportional to exp(-|x| / scale); about as many as asked for."""
    first = source.below(np.full(count, scale, np.int64))
    first = first[_bernoulli_exp(first, np.full(count, scale, np.int64), source)]
    # How often in a row exp(-1) succeeds.
    turns = np.zeros(first.size, np.int64)
    running = np.arange(first.size)
    while running.size:
        ones = np.ones(running.size, np.int64)
        running = running[_bernoulli_exp(ones, ones, source)]
        turns[running] += 1
    values = first + scale * turns
    negative = source.coins(values.size)
    keep = ~(negative & (values == 0))
    return np.asarray(np.where(negative, -values, values)[keep], dtype=np.int64)


def _bernoulli_exp(numerators: Integers, denominators: Integers, source: SecureIntegers) -> NDArray[np.bool_]:
    """Whether events of probability exp(-numerator / denominator) occur; exact."""
    whole, rest = np.divmod(numerators, denominators)
    result = np.ones(numerators.shape, np.bool_)
    pending = np.flatnonzero(whole > 0)
    left = whole.copy()
    while pending.size:  # exp(-whole): as many events of exp(-1), until one fails
        ones = np.ones(pending.size, np.int64)
        happened = _bernoulli_exp_fraction(ones, ones, source)
        result[pending[~happened]] = False
        pending = pending[happened]
        left[pending] -= 1
        pending = pending[left[pending] > 0]
    pending = np.flatnonzero(result & (rest > 0))
    result[pending] = _bernoulli_exp_fraction(rest[pending], denominators[pending], source)
    return result


def _bernoulli_exp_fraction(
    numerators: Integers, denominators: Integers, source: SecureIntegers
) -> NDArray[np.bool_]:
    """The same for fractions from 0 to 1: the number of falling factors that succeed is even.

    Forsythe's method with integers: 1 - x + x**2/2! - x**3/3! ... is exp(-x).
    """
    turns = np.zeros(numerators.shape, np.int64)
    pending = np.arange(numerators.size)
    turn = 0
    while pending.size:
        turn += 1
        drawn = source.below(denominators[pending] * turn)
        pending = pending[drawn < numerators[pending]]
        turns[pending] += 1
    return np.asarray(turns % 2 == 0, dtype=np.bool_)
