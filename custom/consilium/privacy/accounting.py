"""Epsilon of mechanisms together, by Opacus' accountants; always an upper bound.

Composition is by privacy loss random variables (Gopi et al. 2021, arXiv:2106.02848). Where these can't be
discretized, such as at an epsilon of many hundreds, it is by Rényi differential privacy (Mironov et al. 2019,
arXiv:1908.10530). `benchmarks/accounting.py` compares it with Google's dp-accounting.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from consilium.counts import counted
from consilium.errors import ConfigurationError
from consilium.privacy.mechanism import LARGEST_NOISE, MOST_STEPS, SMALLEST_NOISE, SampledGaussian, compose

SMALLEST_DELTA: Final = 1e-10

_ORDERS: Final = (
    *(1 + step / 100 for step in range(1, 10)),
    *(1 + step / 10 for step in range(1, 100)),
    *range(11, 65),
    *(80, 96, 128, 192, 256, 384, 512),
)
"""Rényi orders, larger and smaller ones than Opacus' as well: its own are for an epsilon around 1."""

_FEW_ORDERS: Final = _ORDERS[::6]
"""Enough to begin a search with: fewer orders find a larger bound, in a sixth of the time."""

_DELTA_SHARE: Final = 1e-3
"""Of delta, for errors of the discretization: as Opacus chooses it."""

_EPSILON_SHARE: Final = 0.003
"""Of epsilon, for errors of the discretization; the result is larger by it."""

_MOST_POINTS: Final = 1 << 21
"""Of the grid; with more steps than fit, the error is larger, and so is the result."""

_LARGEST_BY_GRID: Final = 300.0
"""Epsilon by Rényi orders above which no grid is tried: its probabilities would be rounded to nothing."""

_TIGHTNESS: Final = 0.003
"""How far below the target epsilon a search for the noise may end, as a share of it."""

_NARROWER: Final = 0.7
"""Factor by which the search's first lower bound is below what Rényi orders find."""

_DIGITS: Final = 4
"""Significant digits of a noise multiplier that is searched for."""

_MUCH_NOISE: Final = 10.0
_NEAR_A_HALF: Final = 0.005
"""Noise multipliers above, and sampling rates around a half within which Opacus' series converge slowly."""

_GRID_FAILURES: Final = (ArithmeticError, IndexError, RuntimeError, ValueError, MemoryError)
"""What Opacus raises where a grid does not represent the mechanisms."""


def epsilon_spent(mechanisms: Iterable[SampledGaussian], delta: float) -> float:
    """Return an upper bound of the epsilon that mechanisms have together.

    It holds for a patient in the data of all of them.

    Args:
        mechanisms: What was released, in any order.
        delta: From `SMALLEST_DELTA` to below 1.

    Raises:
        ConfigurationError: If delta is outside these limits.

    Example:
        >>> job = SampledGaussian(noise_multiplier=2.5, sampling_rate=0.08, steps=800)
        >>> round(epsilon_spent([job], delta=1e-3), 2)
        2.97
    """
    _check_delta(delta)
    return _epsilon(compose(mechanisms), delta)


def is_within(mechanisms: Iterable[SampledGaussian], delta: float, epsilon: float) -> bool:
    """Return whether mechanisms together have at most an epsilon; often faster than `epsilon_spent`.

    Args:
        mechanisms: See `epsilon_spent`.
        delta: See `epsilon_spent`.
        epsilon: What is allowed.

    Raises:
        ConfigurationError: If delta is outside its limits.
    """
    _check_delta(delta)
    composed = compose(mechanisms)
    return _bound(composed, delta) <= epsilon or _epsilon(composed, delta) <= epsilon


def find_noise_multiplier(epsilon: float, delta: float, sampling_rate: float, steps: int) -> float:
    """Return the smallest noise multiplier with which steps stay within epsilon, rounded up.

    Args:
        epsilon: What all steps may spend together.
        delta: See `epsilon_spent`.
        sampling_rate: See `SampledGaussian`.
        steps: See `SampledGaussian`.

    Raises:
        ConfigurationError: If no noise multiplier within the limits of `SampledGaussian` does.

    Example:
        >>> round(find_noise_multiplier(epsilon=3.0, delta=1e-3, sampling_rate=0.08, steps=800), 1)
        2.5
    """
    if not (epsilon > 0 and math.isfinite(epsilon)):
        raise ConfigurationError(f"epsilon is {epsilon:g}; allowed: a number more than 0")
    if not 1 <= steps <= MOST_STEPS:
        raise ConfigurationError(f"the steps of all rounds are {steps:,}; allowed: 1 to {MOST_STEPS:,}")
    return _noise_multiplier(epsilon, delta, sampling_rate, steps)


def _check_delta(delta: float) -> None:
    if not SMALLEST_DELTA <= delta < 1:
        raise ConfigurationError(f"delta is {delta:g}; allowed: from {SMALLEST_DELTA:g} to less than 1")


@lru_cache(maxsize=4096)
def _bound(mechanisms: tuple[SampledGaussian, ...], delta: float) -> float:
    if not mechanisms:
        return 0.0
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # about orders at the ends
        return _by_orders(mechanisms, delta, _ORDERS)


@lru_cache(maxsize=4096)
def _epsilon(mechanisms: tuple[SampledGaussian, ...], delta: float) -> float:
    bound = _bound(mechanisms, delta)
    if not mechanisms or bound > _LARGEST_BY_GRID:
        return bound
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # about orders at the ends, and integrals of rounded numbers
        try:
            by_grid = _by_grid(mechanisms, delta, bound)
        except _GRID_FAILURES:
            return bound
    return min(bound, max(by_grid, 0.0)) if math.isfinite(by_grid) else bound


def _by_orders(mechanisms: Sequence[SampledGaussian], delta: float, orders: Sequence[float]) -> float:
    from opacus.accountants.analysis.rdp import get_privacy_spent

    divergences = np.zeros(len(orders))
    for one in mechanisms:
        of_step = [_divergence(one.noise_multiplier, one.sampling_rate, float(order)) for order in orders]
        divergences += np.multiply(of_step, one.steps)
    epsilon, _ = get_privacy_spent(orders=list(orders), rdp=divergences, delta=delta)
    return max(float(epsilon), 0.0) if math.isfinite(epsilon) else math.inf


@lru_cache(maxsize=1 << 16)
def _divergence(noise_multiplier: float, sampling_rate: float, order: float) -> float:
    """Rényi divergence of one step; infinite where it can't be computed, so that other orders decide."""
    from opacus.accountants.analysis.rdp import compute_rdp

    rate = sampling_rate
    if noise_multiplier > _MUCH_NOISE and abs(rate - 0.5) < _NEAR_A_HALF:
        rate = 0.5 + _NEAR_A_HALF  # at a half, the series takes up to a second; more is an upper bound
    try:
        value = float(compute_rdp(q=rate, noise_multiplier=noise_multiplier, steps=1, orders=order))
    except (ArithmeticError, ValueError):
        return math.inf
    return value if value >= 0 else math.inf


def _by_grid(mechanisms: Sequence[SampledGaussian], delta: float, bound: float) -> float:
    from opacus.accountants import PRVAccountant
    from opacus.accountants.analysis.prv import PoissonSubsampledGaussianPRV, compute_safe_domain_size

    accountant = PRVAccountant()
    accountant.history = [(one.noise_multiplier, one.sampling_rate, one.steps) for one in mechanisms]
    delta_error = delta * _DELTA_SHARE
    steps = [one.steps for one in mechanisms]
    variables = [PoissonSubsampledGaussianPRV(one.sampling_rate, one.noise_multiplier) for one in mechanisms]
    width = 2 * compute_safe_domain_size(variables, steps, 0.0, delta_error)
    # The mesh is the error of epsilon divided by this (Gopi et al. 2021, theorem 5.5).
    fineness = math.sqrt(sum(steps) * math.log(12 / delta_error) / 2)
    smallest = width * fineness / _MOST_POINTS

    def by_error(error: float) -> float:
        return float(accountant.get_epsilon(delta, eps_error=error, delta_error=delta_error))

    error = max(_EPSILON_SHARE * bound, smallest)
    epsilon = by_error(error)
    finer = max(_EPSILON_SHARE * epsilon, smallest)
    return by_error(finer) if finer < error / 2 else epsilon


@lru_cache(maxsize=1024)
def _noise_multiplier(epsilon: float, delta: float, rate: float, steps: int) -> float:
    def spent(noise: float) -> float:
        return epsilon_spent(
            [SampledGaussian(noise_multiplier=noise, sampling_rate=rate, steps=steps)], delta
        )

    largest = SampledGaussian(noise_multiplier=LARGEST_NOISE, sampling_rate=rate, steps=steps)
    if not is_within([largest], delta, epsilon):  # a grid for so little takes a minute
        raise ConfigurationError(
            f"{counted(steps, 'step')} with a sampling rate of {rate:g} can't stay within an epsilon of "
            f"{epsilon:g} at a delta of {delta:g}, however large the noise; allow more, or take fewer steps"
        )
    high = _enough_by_orders(epsilon, delta, rate, steps)
    low, reached, passed = high, spent(high), 0.0
    while passed <= epsilon:
        if low == SMALLEST_NOISE:
            return low
        high, reached = (low, passed) if passed else (high, reached)
        low = max(low * _NARROWER, SMALLEST_NOISE)
        passed = spent(low)
    # Between two points, epsilon is nearly a power of the noise.
    while reached < epsilon * (1 - _TIGHTNESS) and high > low * (1 + _TIGHTNESS / 10):
        share = math.log(passed / (epsilon * (1 - _TIGHTNESS / 2))) / math.log(passed / max(reached, 1e-12))
        noise = low * (high / low) ** min(max(share, 0.02), 0.98)
        found = spent(noise)
        if found <= epsilon:
            high, reached = noise, found
        else:
            low, passed = noise, found
    rounded = _round_up(high)
    return rounded if spent(rounded) <= epsilon else high


def _enough_by_orders(epsilon: float, delta: float, rate: float, steps: int) -> float:
    """A noise multiplier that suffices; the smallest by a few Rényi orders, within a hundredth."""
    low, high = math.log(SMALLEST_NOISE), math.log(LARGEST_NOISE)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # about orders at the ends
        while high - low > 0.01:
            middle = (low + high) / 2
            mechanism = SampledGaussian(noise_multiplier=math.exp(middle), sampling_rate=rate, steps=steps)
            enough = _by_orders([mechanism], delta, _FEW_ORDERS) <= epsilon
            low, high = (low, middle) if enough else (middle, high)
    return min(math.exp(high), LARGEST_NOISE)


def _round_up(value: float) -> float:
    unit = 10.0 ** (math.floor(math.log10(value)) - _DIGITS + 1)
    return min(round(math.ceil(value / unit) * unit, 12), LARGEST_NOISE)
