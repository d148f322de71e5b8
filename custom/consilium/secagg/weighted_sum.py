"""A weighted mean of the sites' vectors by a sum: what a site sends, and what the server adds up.

With `c_k` training cases of site k and `M` the cases of full weight, a site sends `min(c_k, M) / M` times its
vector and, as a further coordinate, `min(c_k, M)`. The mean is the quotient of the two sums, so the server
needs no site's own number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consilium.counts import counted
from consilium.secagg.errors import SecAggFailure, SecAggRefusal
from consilium.secagg.feedback import ErrorFeedback
from consilium.secagg.mask_seed import MaskSeed
from consilium.secagg.masks import MaskStream, apply_masks, in_order
from consilium.secagg.noisy_vector import NOISE_VARIANCE, add_noise, round_within
from consilium.secagg.ring import norm_factor, rounding_generator
from consilium.secagg.sum_plan import COUNTS, SumPlan, Tensors
from consilium.secagg.summed_numbers import SummedNumber


class MaskedVector:
    """A site's vector as it is sent.

    Args:
        tensors: Masked elements of the ring, by name.
        counts: Masked counts, and the further numbers behind them.
        clipped: How many values were clipped to the bound.
    """

    def __init__(self, tensors: dict[str, NDArray[Any]], counts: NDArray[Any], clipped: int) -> None:
        self.tensors = tensors
        self.counts = counts
        self.clipped = clipped


def mask_vector(
    vector: Tensors,
    *,
    cases: int,
    received: Tensors,
    plan: SumPlan,
    seeds: Iterable[MaskSeed],
    round_index: int,
    feedback: ErrorFeedback | None = None,
    numbers: Mapping[str, float] = MappingProxyType({}),
) -> MaskedVector:
    """Clip, weight, encode and mask a site's vector; where the rules have noise, add this site's part of it.

    With noise, nothing is clipped but the norm, so no count of clipped values leaves.

    Args:
        vector: The update, by name.
        cases: Training cases that it is from.
        received: The model that it was computed from.
        plan: The rules.
        seeds: Of `SiteSession.mask_seeds`.
        round_index: The round.
        feedback: Errors of earlier rounds to add; None to forget them.
        numbers: The site's values of the plan's further numbers; those that it doesn't have are missing.

    Raises:
        TrainingError: If a value is not finite.
    """
    code, generator = plan.code, rounding_generator()
    weight = plan.counted_cases(cases) / plan.full_weight_cases
    if feedback is not None:
        feedback.begin(round_index)
        vector = {name: feedback.corrected(round_index, name, value) for name, value in vector.items()}
    if plan.noise_levels:
        steps = round_within(vector, levels=code.levels, step=code.step, weight=weight, generator=generator)
        tensors, clipped = add_noise(steps, code.dtype), 0
    else:
        tensors, clipped = _encode(vector, plan, weight, generator, round_index, feedback)
    counts, _ = plan.count_code.encode(
        np.array([plan.counted_cases(cases), clipped], np.float64), generator=generator
    )
    counts = np.concatenate([counts, plan.number_code.encode(numbers)])
    context = plan.mask_context(received)
    _mask(tensors, counts, seeds, context)
    return MaskedVector(tensors, counts, clipped)


def _encode(
    vector: Tensors,
    plan: SumPlan,
    weight: float,
    generator: np.random.Generator,
    round_index: int,
    feedback: ErrorFeedback | None,
) -> tuple[dict[str, NDArray[Any]], int]:
    """Return the vector without noise as elements of the ring, and how many values were clipped."""
    code, factor = plan.code, norm_factor(vector.values(), plan.norm)
    tensors, clipped = {}, 0
    for name in sorted(vector):
        scaled = vector[name] * factor
        tensors[name], count = code.encode(scaled, generator=generator, weight=weight)
        clipped += count
        if feedback is not None:
            feedback.keep(round_index, name, scaled, tensors[name], code, weight)
    return tensors, clipped


class MaskedSum:
    """The sum of masked vectors: all that the server has of them.

    Args:
        plan: The rules.
        received: The model that the sites received; the masks depend on it.
        vector: What is added up, with the names and shapes of the sites' vectors; None for those of the
            model.

    Attributes:
        cases: Training cases that count in the opened sum.
        clipped: Values that were clipped in it.
        numbers: The further numbers of the opened sum, by name.
    """

    def __init__(self, plan: SumPlan, received: Tensors, vector: Tensors | None = None) -> None:
        vector = received if vector is None else vector
        self._plan = plan
        self._context = plan.mask_context(received)
        self._totals = {name: np.zeros(np.shape(value), plan.code.dtype) for name, value in vector.items()}
        self._counts = np.zeros(plan.coordinates, plan.count_code.dtype)
        self._added = 0
        self.cases = self.clipped = 0
        self.numbers: dict[str, SummedNumber] = {}

    def add(self, tensors: Tensors, counts: NDArray[Any]) -> None:
        """Add a site's whole vector, or nothing of it.

        Args:
            tensors: Its tensors.
            counts: Its counts.

        Raises:
            SecAggRefusal: If names, shapes or types are not those of the plan.
        """
        if tensors.keys() != self._totals.keys():
            raise SecAggRefusal("a masked vector has other tensors than the model")
        pairs = [(tensors[name], total) for name, total in self._totals.items()] + [(counts, self._counts)]
        for value, total in pairs:
            if value.dtype != total.dtype or value.shape != total.shape:
                raise SecAggRefusal(
                    f"a masked vector has a tensor of {value.dtype} values in {value.ndim} axes, and the sum "
                    f"one of {total.dtype} in {total.ndim}, or another shape"
                )
        if self._added == self._plan.sites:
            raise SecAggRefusal(f"the ring has room for {self._plan.sites} vectors, and all are there")
        for value, total in pairs:
            np.add(total, value, out=total)
        self._added += 1

    def open(self, seeds: Iterable[MaskSeed]) -> dict[str, NDArray[np.float64]]:
        """Remove the masks and return the weighted mean; the sum is of no further use.

        Args:
            seeds: Of `ServerSession.open_sum`.

        Raises:
            SecAggFailure: If what is left can't be a sum of honest vectors: the sites did not have the same
                model and rules, or one of them sent something else.
        """
        _mask(self._totals, self._counts, seeds, self._context)
        counts = self._plan.count_code.decode(self._counts[:COUNTS])
        self.cases, self.clipped = (int(value) for value in counts)
        most = self._added * self._plan.full_weight_cases
        if not self._added <= self.cases <= most:
            raise SecAggFailure(
                f"the training cases in the opened sum are {self.cases}, of {counted(self._added, 'site')} "
                f"with up to {self._plan.full_weight_cases}; a site had other rules or another model, or "
                "sent something else"
            )
        self.numbers = self._open_numbers()
        weight = self.cases / self._plan.full_weight_cases
        code = self._plan.code
        mean = {name: code.decode(total) / weight for name, total in self._totals.items()}
        norm = math.sqrt(sum(float(np.sum(np.square(value))) for value in mean.values()))
        values = sum(value.size for value in mean.values())
        rounding = self._added * code.step / weight * math.sqrt(values)
        if norm > self._plan.norm * (1 + 1e-6) + rounding + self._noise_norm(values) / weight:
            raise SecAggFailure(
                f"the mean of the updates has the norm {norm:.4g}, and each site clips its own to "
                f"{self._plan.norm:.4g}: one of them did not, or had other rules or another model"
            )
        return mean

    def _open_numbers(self) -> dict[str, SummedNumber]:
        numbers = self._plan.number_code.decode(self._counts[COUNTS:])
        for name, (total, sites) in numbers.items():
            if not 0 <= sites <= self._added or abs(total) > self._plan.numbers[name] * sites * (1 + 1e-6):
                raise SecAggFailure(
                    f"{name} in the opened sum is {total:.6g} from {counted(sites, 'site')}, of "
                    f"{counted(self._added, 'site')} with up to {self._plan.numbers[name]:g}; a site sent "
                    "something else"
                )
        return numbers

    def _noise_norm(self, values: int) -> float:
        """Length that the noise of the sum has at most, but for one time in 10**11."""
        if not self._plan.noise_levels:
            return 0.0
        deviation = math.sqrt(NOISE_VARIANCE * self._added) * self._plan.code.step
        return deviation * (math.sqrt(values) + 7)


def _mask(
    tensors: Mapping[str, NDArray[Any]], counts: NDArray[Any], seeds: Iterable[MaskSeed], context: bytes
) -> None:
    streams = [(MaskStream(one.seed, context), one.sign) for one in seeds]
    apply_masks(
        [*in_order(tensors), counts],
        [stream for stream, sign in streams if sign > 0],
        [stream for stream, sign in streams if sign < 0],
    )
