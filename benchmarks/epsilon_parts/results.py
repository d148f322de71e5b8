"""Results: one JSON line a run, and a table of means and ranges over seeds."""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from epsilon_parts.grid import Way

REGIONS: Final = ("wt", "tc", "et")

COLUMNS: Final = {
    ("pretrained", "all"): "pretrained, all weights",
    ("pretrained", "last_layers"): "pretrained, last layer",
    ("scratch", "all"): "from scratch, all weights",
    ("scratch", "last_layers"): "from scratch, last layer",
}
"""Titles of the curves, by start and trained weights."""


@dataclass(frozen=True)
class Run:
    """One training and its scores, means over all held-out patients.

    Attributes:
        way: How it was trained.
        seed: Of first weights and samples. Noise has none.
        dice: Mean Dice of the three regions.
        regions: Dice of each.
        noise: Noise multiplier of each site.
        seconds: CPU time of training and scoring.
    """

    way: Way
    seed: int
    dice: float
    regions: Mapping[str, float]
    noise: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def key(self) -> tuple[Way, int]:
        """What no other run has."""
        return self.way, self.seed


def read_runs(path: Path) -> list[Run]:
    """Read the runs of a file; none if there is no file. A last line that was cut off is left out."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[:-1]
    return [_run(json.loads(line)) for line in lines]


def append_run(path: Path, run: Run) -> None:
    """Add a run as one line; a line that was cut off before is removed."""
    text = path.read_text() if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole)
    values = asdict(run)
    values["way"]["epsilon"] = _epsilon_text(run.way.epsilon)
    with path.open("a") as file:
        file.write(json.dumps(values) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _run(values: dict[str, Any]) -> Run:
    way = values.pop("way")
    return Run(way=Way(**{**way, "epsilon": float(way["epsilon"])}), **values)


def _epsilon_text(epsilon: float) -> str:
    return "inf" if math.isinf(epsilon) else f"{epsilon:g}"


def table(runs: Sequence[Run]) -> str:
    """Return mean Dice with the range over seeds in Markdown: a row an epsilon, a column a curve.

    Example:
        >>> way = Way("untrained", "pretrained")
        >>> runs = [Run(way, seed, dice, {}) for seed, dice in ((0, 0.5), (1, 0.75))]
        >>> print(table(runs).splitlines()[2])
        | start, not trained further | 0.625 (0.500 to 0.750) | | | |
    """
    head = ["epsilon of the job", *COLUMNS.values()]
    rows = [head, ["---"] * len(head)]
    rows += [_row("start, not trained further", runs, lambda one: one.method == "untrained")]
    private = [one for one in runs if one.way.method == "dp_sgd"]
    for epsilon in sorted({one.way.epsilon for one in private}):
        of = [one for one in private if one.way.epsilon == epsilon]
        title = "infinite: no noise, no clipping" if math.isinf(epsilon) else f"{epsilon:g}"
        rows.append(_row(title, of, lambda one: True))
    rows.append(_row("federated averaging, not DP-SGD", runs, lambda one: one.method == "fedavg"))
    return (
        "".join("| " + " | ".join(row) + " |\n" for row in rows).replace("|  |", "| |").replace("|  |", "| |")
    )


def _row(title: str, runs: Iterable[Run], wanted: Callable[[Way], bool]) -> list[str]:
    chosen = [one for one in runs if wanted(one.way)]
    return [
        title,
        *(
            mean_and_range([one.dice for one in chosen if (one.way.start, one.way.trainable) == column])
            for column in COLUMNS
        ),
    ]


def mean_and_range(values: Sequence[float]) -> str:
    """Return a mean with its range; empty without values.

    Example:
        >>> mean_and_range([0.5, 0.75]), mean_and_range([0.5])
        ('0.625 (0.500 to 0.750)', '0.500')
    """
    if not values:
        return ""
    mean = f"{statistics.fmean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.3f} to {max(values):.3f})"


def noise_table(runs: Sequence[Run], weights: Mapping[str, int], patients_a_step: float) -> str:
    """Return the noise of each epsilon in Markdown; it depends on nothing else.

    Beside the noise multiplier of each site is the length of the noise of a step, divided by the longest that
    the sum of the patients' gradients is expected to be: sigma times the root of the number of trained
    weights, divided by the expected number of patients.

    Args:
        runs: Of some or all ways and seeds.
        weights: How many are trained, by the name of the choice.
        patients_a_step: The expected number.
    """
    noise = {
        one.way.epsilon: one.noise
        for one in runs
        if one.way.method == "dp_sgd" and math.isfinite(one.way.epsilon)
    }
    sites = list(next(iter(noise.values()), {}))
    head = ["epsilon of the job", *(f"sigma at {site}" for site in sites)]
    head += [f"noise over gradients, {number:,} weights" for number in weights.values()]
    rows = [head, ["---"] * len(head)]
    for epsilon, of in sorted(noise.items()):
        lengths = [
            [of[site] * math.sqrt(number) / patients_a_step for site in sites] for number in weights.values()
        ]
        rows.append(
            [
                f"{epsilon:g}",
                *(f"{of[site]:.2f}" for site in sites),
                *(f"{min(one):.0f} to {max(one):.0f}" for one in lengths),
            ]
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
