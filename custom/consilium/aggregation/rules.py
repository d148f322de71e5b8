"""Aggregation rules: the mean, and rules that are robust against a few bad updates."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from typing_extensions import Self

from consilium.aggregation.shares import limited_shares
from consilium.settings import Settings

Tensor = NDArray[Any]

Scaling: TypeAlias = Callable[[Mapping[str, float]], Mapping[str, float]]
"""Shares of the sites to a factor of each."""

_BLOCK_VALUES = 2**20


class AggregationSettings(Settings):
    """How a job combines the updates of a round."""

    rule: Literal["mean", "median", "trimmed_mean", "clipped_mean"] = "mean"
    trim_share: float | None = Field(
        default=None,
        gt=0,
        lt=0.5,
        description="Of `trimmed_mean`: share of the sites left out at each end; default 0.2.",
    )
    clip_ratio: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="Of `clipped_mean`: longest update, in medians of the round's norms; default 1.",
    )

    max_site_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Of `mean` and `clipped_mean`: largest share of one site; half as much again as an equal "
        "share is always allowed. 1: no limit.",
    )

    @model_validator(mode="after")
    def _check_as_a_whole(self) -> Self:
        for setting, rule in (("trim_share", "trimmed_mean"), ("clip_ratio", "clipped_mean")):
            if getattr(self, setting) is not None and self.rule != rule:
                raise ValueError(f"{setting} is a setting of rule {rule!r}, and the rule is {self.rule!r}")
        return self


class AggregationRule:
    """Aggregation rule that combines the updates of one round, tensor by tensor.

    - `mean`: weighted by training cases. Federated averaging, McMahan et al. 2017, arXiv:1602.05629,
      algorithm 1.
    - `median`: of each coordinate, every site with the same vote. Yin et al. 2018, arXiv:1803.01498,
      definition 1.
    - `trimmed_mean`: of each coordinate without its largest and smallest values, every site with the same
      vote. The same paper, definition 2. At least one value goes at each end where one would be left.
    - `clipped_mean`: weighted by training cases; an update longer than the median of the round's norms, times
      `clip_ratio`, is scaled down to that. Norm thresholding, Sun et al. 2019, arXiv:1911.07963.

    The median and the trimmed mean do without the number of training cases, as that is what a site says of
    itself. In the two weighted means no site has more than `max_site_share`, whatever it says; what it would
    have above that goes to the others, in proportion to their cases.

    Args:
        settings: What the job decides.
        cases: Training cases of the sites whose updates are combined, or what else their shares are
            proportional to.
        norms: Euclidean norms of their updates.
        scaling: Returns, by the shares, the factors by which updates are multiplied before anything else;
            None: they are combined as they are.
    """

    def __init__(
        self,
        settings: AggregationSettings,
        cases: Mapping[str, float],
        norms: Mapping[str, float],
        scaling: Scaling | None = None,
    ) -> None:
        self._sites = sorted(cases)
        equal = settings.rule in ("median", "trimmed_mean")
        votes = {site: 1.0 if equal else cases[site] for site in self._sites}
        self.shares = limited_shares(votes, settings.max_site_share)
        self._scales = scaling(self.shares) if scaling else dict.fromkeys(self._sites, 1.0)
        factors = dict(self._scales)
        if settings.rule == "clipped_mean":
            scaled = {site: self._scales[site] * norm for site, norm in norms.items()}
            limit = (settings.clip_ratio or 1.0) * median(scaled.values())
            factors = {
                site: self._scales[site] * (min(1.0, limit / norm) if norm else 1.0)
                for site, norm in scaled.items()
            }
        self._factors = [self.shares[site] * factors[site] for site in self._sites]
        self._middle: Callable[[Tensor], Tensor] | None = None
        if settings.rule == "median":
            self._middle = coordinate_median
        elif settings.rule == "trimmed_mean":
            self._middle = partial(trimmed_mean, share=settings.trim_share or 0.2)

    def combine(self, shape: tuple[int, ...], read: Callable[[str, slice | None], Tensor]) -> Tensor:
        """Combine one tensor of all sites.

        Memory holds this tensor of one site; with `median` and `trimmed_mean` as many rows of it, of every
        site, as fit 2**20 values.

        Args:
            shape: Of the tensor.
            read: Returns the tensor of a site, or some rows of it.
        """
        if self._middle is not None:
            parts = [self._combine_rows(rows, read, self._middle) for rows in self._blocks(shape)]
            return parts[0] if len(parts) == 1 else np.concatenate(parts)
        total: Tensor | None = None
        for site, factor in zip(self._sites, self._factors, strict=True):
            value = read(site, None)
            part = factor * value.astype(np.float64)
            total = part if total is None else total + part
        assert total is not None  # a round without an update has no rule
        return _as(total, value.dtype)

    def _blocks(self, shape: tuple[int, ...]) -> list[slice | None]:
        if not math.prod(shape) or not shape:
            return [None]
        rows = max(1, _BLOCK_VALUES // (len(self._sites) * math.prod(shape[1:])))
        return [slice(start, min(start + rows, shape[0])) for start in range(0, shape[0], rows)]

    def _combine_rows(
        self,
        rows: slice | None,
        read: Callable[[str, slice | None], Tensor],
        middle: Callable[[Tensor], Tensor],
    ) -> Tensor:
        values = np.stack([self._scale(site, read(site, rows)) for site in self._sites])
        return _as(middle(values), values.dtype)

    def _scale(self, site: str, value: Tensor) -> Tensor:
        factor = self._scales[site]
        return value if factor == 1 else _as(factor * value, value.dtype)


def coordinate_median(values: Tensor) -> Tensor:
    """Return the median of each coordinate.

    Args:
        values: `(sites, ...)`.

    Returns:
        `(...)`; with an even number of sites, the mean of the two in the middle.
    """
    return np.asarray(np.median(values, axis=0))


def trimmed_mean(values: Tensor, share: float) -> Tensor:
    """Return the mean of each coordinate without its largest and smallest values.

    Args:
        values: `(sites, ...)`.
        share: Of the sites, left out at each end; rounded up, as long as a site is left.

    Returns:
        `(...)`.
    """
    sites = len(values)
    cut = min(math.ceil(share * sites), (sites - 1) // 2)
    ordered = np.partition(values, [cut, sites - cut - 1], axis=0) if cut else values
    return np.asarray(np.mean(ordered[cut : sites - cut], axis=0, dtype=np.float64))


def euclidean_norm(tensors: Sequence[Tensor]) -> float:
    """Return the Euclidean norm over all values of all tensors."""
    return math.sqrt(sum(float(np.sum(np.square(value, dtype=np.float64))) for value in tensors))


def _as(value: Tensor, kind: np.dtype[Any]) -> Tensor:
    return (np.rint(value) if kind.kind in "iu" else value).astype(kind)
