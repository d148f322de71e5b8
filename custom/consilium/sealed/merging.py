"""Combining of the updates that a hospital opened: form, length, and the job's rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from consilium.aggregation.form import UpdateForm
from consilium.aggregation.outliers import find_outliers
from consilium.aggregation.rules import AggregationRule, AggregationSettings, euclidean_norm
from consilium.counts import counted
from consilium.secagg.errors import SecAggRefusal

MOST_COUNT: Final = 10_000_000
"""Of one hospital's training cases."""

UpdateFault: TypeAlias = Literal["unreadable", "cases", "form", "length"]
"""Why an update can't be used. No more is said: what an update is like stays with who may read it."""

_CASES: Final = "cases/"
"""Name of the array with the number of cases; no weight's name ends so."""


@dataclass(frozen=True)
class MergedUpdates:
    """What a hospital makes of the updates of a round.

    Attributes:
        mean: The combined difference, by weight.
        left_out: Hospitals whose updates could not be used, each with the kind of reason.
    """

    mean: Mapping[str, NDArray[Any]]
    left_out: Mapping[str, UpdateFault]


@dataclass(frozen=True)
class _Opened:
    update: Mapping[str, NDArray[Any]]
    norm: float


def pack_update(update: Mapping[str, NDArray[Any]], cases: int) -> bytes:
    """Return an update and its number of training cases as bytes, in the format of safetensors.

    Args:
        update: The difference, by weight.
        cases: Training cases that it comes from.

    Example:
        >>> len(pack_update({"w": np.zeros(2, np.float32)}, 3)) % 8
        0
    """
    # Not `ascontiguousarray`: it turns a counter, shape (), into (1,).
    arrays = {name: np.asarray(value, order="C") for name, value in update.items()}
    return save({**arrays, _CASES: np.array(cases, np.int64)})


def merge_updates(
    opened: Mapping[str, bytes | None],
    cases: Mapping[str, int],
    *,
    form: UpdateForm,
    rule: AggregationSettings,
    max_norm_ratio: float | None,
    pace: Callable[[float, int], float],
    fewest: int,
) -> MergedUpdates:
    """Combine opened updates; those that can't be used are left out.

    Args:
        opened: Packed updates by hospital; None where one could not be decrypted.
        cases: Training cases that each hospital reported to the server, which compared them with the
            hospital's preparation. They count only if the sealed number is the same.
        form: Names, shapes and types that an update must have.
        rule: How they combine.
        max_norm_ratio: Times the others' length that an update may always have; None: no limit.
        pace: From an update's Euclidean norm and cases, its length in terms of its learning rates.
        fewest: Hospitals that must be left.

    Raises:
        SecAggRefusal: Fewer are, or the mean is not finite.
    """
    left_out: dict[str, UpdateFault] = {}
    taken: dict[str, _Opened] = {}
    for site, packed in sorted(opened.items()):
        one = _unpack(packed, form, cases.get(site))
        if isinstance(one, str):
            left_out[site] = one
        else:
            taken[site] = one
    if max_norm_ratio is not None:
        paces = {site: pace(one.norm, cases[site]) for site, one in taken.items()}
        for site in find_outliers(paces, max_norm_ratio):
            left_out[site] = "length"
            del taken[site]
    if len(taken) < fewest:
        faults = ", ".join(f"{site}: {left_out[site]}" for site in sorted(left_out))
        raise SecAggRefusal(
            f"of {counted(len(opened), 'update')} only {len(taken)} can be used, and at least {fewest} are "
            f"demanded; {faults}"
        )
    combined = AggregationRule(
        rule,
        cases={site: float(cases[site]) for site in taken},
        norms={site: one.norm for site, one in taken.items()},
    )
    mean = {}
    for name, shape in form.shapes.items():
        with np.errstate(over="ignore"):
            mean[name] = np.asarray(combined.combine(shape, partial(_read, taken, name)))
        if not np.isfinite(mean[name]).all():
            raise SecAggRefusal("the mean is not finite, although every update was")
    return MergedUpdates(mean, left_out)


def _read(taken: Mapping[str, _Opened], name: str, site: str, rows: slice | None) -> NDArray[Any]:
    value = taken[site].update[name]
    return value if rows is None else value[rows]


def _unpack(packed: bytes | None, form: UpdateForm, cases: int | None) -> _Opened | UpdateFault:
    """Return an update that can be used, or why it can't; it comes from another hospital."""
    if packed is None:
        return "unreadable"
    try:
        arrays = load(packed)
    except (SafetensorError, KeyError, ValueError):
        return "unreadable"
    sealed = arrays.pop(_CASES, np.array(0))
    if sealed.dtype != np.int64 or sealed.shape or cases is None or int(sealed) != cases:
        return "cases"
    if form.fault(arrays) is not None:
        return "form"
    with np.errstate(over="ignore"):
        norm = euclidean_norm(list(arrays.values()))
    return _Opened(arrays, norm) if norm and np.isfinite(norm) else "length"
