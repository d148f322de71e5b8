"""Means and paired differences of components, over seeds and patients."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from consilium.learning.bootstrap import interval_of_mean

DICE = "dice_"

LEFT_OUT = "left_out"
"""Group of the patients of a hospital that no model was trained on."""


def summarize(
    found: Mapping[str, Mapping[int, Mapping[str, Any]]],
    patients: Mapping[str, Sequence[str]],
    *,
    baseline: str,
) -> dict[str, Any]:
    """Return means by component and group, and differences from the baseline, seed by seed.

    Args:
        found: Component to seed to its outcome: `train_seconds`, and `scores` by group.
        patients: Whose case each row of a group's scores is.
        baseline: The component that the others are compared with.
    """
    return {
        name: {
            "train_seconds": statistics.fmean(one["train_seconds"] for one in by_seed.values()),
            "groups": {
                group: _of_group(by_seed, found[baseline], group, ids) for group, ids in patients.items()
            },
        }
        for name, by_seed in found.items()
    }


def _of_group(
    by_seed: Mapping[int, Mapping[str, Any]],
    baseline: Mapping[int, Mapping[str, Any]],
    group: str,
    patients: Sequence[str],
) -> dict[str, Any]:
    regions = [name for name in next(iter(by_seed.values()))["scores"][group][0] if name.startswith(DICE)]
    values, before = (_dice(of, group, regions) for of in (by_seed, baseline))
    seeds = sorted(by_seed.keys() & baseline.keys())
    differences = np.stack([values[seed] - before[seed] for seed in seeds])
    over_patients = interval_of_mean(differences.mean(axis=(0, 2))[:, None], patients)
    return {
        "dice": float(np.mean([values[seed] for seed in seeds])),
        **{
            name: float(np.mean([values[seed][:, place] for seed in seeds]))
            for place, name in enumerate(regions)
        },
        "difference": float(differences.mean()),
        "by_seed": differences.mean(axis=(1, 2)).tolist(),
        "by_region": dict(zip(regions, differences.mean(axis=(0, 1)).tolist(), strict=True)),
        "over_patients": None if over_patients is None else [float(bound[0]) for bound in over_patients],
        "over_seeds": interval_over_seeds(differences.mean(axis=(1, 2))),
    }


def interval_over_seeds(differences: NDArray[np.float64]) -> list[float] | None:
    """Return Student's 95 % interval for the mean over seeds; None for one seed.

    Example:
        >>> [round(bound, 3) for bound in interval_over_seeds(np.array([0.01, 0.02, 0.03]))]
        [-0.005, 0.045]
    """
    count = len(differences)
    if count < 2:
        return None
    half = float(stdtrit(count - 1, 0.975)) * float(differences.std(ddof=1)) / math.sqrt(count)
    return [float(differences.mean()) - half, float(differences.mean()) + half]


def _dice(
    by_seed: Mapping[int, Mapping[str, Any]], group: str, regions: Sequence[str]
) -> dict[int, NDArray[np.float64]]:
    """Dice of each case and region, `(cases, R)`, by seed."""
    return {
        seed: np.array([[case[name] for name in regions] for case in one["scores"][group]])
        for seed, one in by_seed.items()
    }


def table(summary: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """Return the summary as tables in Markdown, one for each group.

    Args:
        summary: See `summarize`.
        titles: Of the components.
    """
    groups = next(iter(summary.values()))["groups"]
    return "\n".join(f"{group}:\n\n{_group_table(summary, titles, group)}" for group in groups)


def left_out_table(results: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """Return what each component gives at hospitals that were left out of training, as a table in Markdown.

    Args:
        results: Hospital that was left out to the content of that study's `result.json`.
        titles: Of the components.
    """
    head = ["component", *(f"without {name}: Dice there" for name in results), "mean difference"]
    rows = [head, ["---"] * len(head)]
    for name in next(iter(results.values()))["components"]:
        there = [one["components"][name]["groups"][LEFT_OUT] for one in results.values()]
        cells = (f"{of['dice']:.3f}, {of['difference']:+.3f}{_bounds(of['over_patients'])}" for of in there)
        rows.append([titles[name], *cells, f"{statistics.fmean(of['difference'] for of in there):+.3f}"])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _group_table(summary: Mapping[str, Any], titles: Mapping[str, str], group: str) -> str:
    regions = [name for name in next(iter(summary.values()))["groups"][group] if name.startswith(DICE)]
    head = [
        "component",
        "Dice",
        *(name.removeprefix(DICE).upper() for name in regions),
        "difference (95 % over patients)",
        "95 % over seeds",
        "by seed",
        "training, s",
    ]
    rows = [head, ["---"] * len(head)]
    for name, one in summary.items():
        of = one["groups"][group]
        rows.append(
            [
                titles[name],
                *(f"{of[value]:.3f}" for value in ("dice", *regions)),
                f"{of['difference']:+.3f}{_bounds(of['over_patients'])}",
                _bounds(of["over_seeds"]).strip(),
                " ".join(f"{value:+.3f}" for value in of["by_seed"]),
                f"{one['train_seconds']:.0f}",
            ]
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _bounds(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f" ({interval[0]:+.3f} to {interval[1]:+.3f})"
