"""Comparison of outcomes: means, worst hospitals, gains, and paired differences with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from consilium.learning.bootstrap import interval_of_mean, interval_of_statistic
from drift_parts.cohorts import COHORTS
from drift_parts.outcome import Outcome, PatientScores
from drift_parts.plan import ALGORITHMS, Run


@dataclass(frozen=True)
class Difference:
    """A paired difference over patients with its 95 % interval by bootstrap.

    Attributes:
        value: The difference; positive is better.
        low: Lower bound; None for too few patients.
        high: Upper bound.
    """

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def __str__(self) -> str:
        interval = "" if self.low is None else f" ({self.low:+.3f} to {self.high:+.3f})"
        return f"{self.value:+.3f}{interval}"


def site_means(scores: PatientScores) -> dict[str, float]:
    """Return the mean Dice of each hospital.

    Example:
        >>> site_means({"a": {"1": 0.5, "2": 0.7}})
        {'a': 0.6}
    """
    return {site: fmean(patients.values()) for site, patients in scores.items() if patients}


def mean_difference(pairs: Sequence[tuple[PatientScores, PatientScores]]) -> Difference:
    """Return by how much first scores are better than second ones, on average over patients.

    Args:
        pairs: Scores of two models on the same patients, one pair for each seed.
    """
    rows = [row for index, pair in enumerate(pairs) for row in _rows(index, *pair)]
    values = np.array([[first - second] for _, _, first, second in rows])
    bounds = interval_of_mean(values, [patient for patient, *_ in rows])
    if bounds is None:
        return Difference(float(values.mean()))
    return Difference(float(values.mean()), float(bounds[0][0]), float(bounds[1][0]))


def worst_site_difference(pairs: Sequence[tuple[PatientScores, PatientScores]]) -> Difference:
    """Return by how much the worst hospital's mean is better; the two models' may be different hospitals.

    Args:
        pairs: See `mean_difference`; hospitals are those of all seeds together.
    """
    rows = [row for index, pair in enumerate(pairs) for row in _rows(index, *pair)]
    sites = sorted({site for _, site, _, _ in rows})
    columns = np.zeros((len(rows), 3 * len(sites)))
    for row, (_, site, first, second) in enumerate(rows):
        place = 3 * sites.index(site)
        columns[row, place : place + 3] = first, second, 1
    whole = _worst_gain(columns.sum(axis=0))
    bounds = interval_of_statistic(columns, [patient for patient, *_ in rows], _worst_gain)
    return Difference(whole, *bounds) if bounds else Difference(whole)


def _worst_gain(sums: NDArray[np.float64]) -> float:
    """Difference of the worst hospitals' means; a hospital that a resample has nobody of is passed over."""
    drawn = sums.reshape(-1, 3)[sums.reshape(-1, 3)[:, 2] > 0]
    means = drawn[:, :2] / drawn[:, 2:]
    first, second = means.min(axis=0)
    return float(first - second)


def _rows(index: int, first: PatientScores, second: PatientScores) -> list[tuple[str, str, float, float]]:
    """Each patient with the hospital and both scores."""
    return [
        (f"{index} {site} {patient}", site, first[site][patient], second[site][patient])
        for site in sorted(first.keys() & second.keys())
        for patient in sorted(first[site].keys() & second[site].keys())
    ]


def rounds_to(rounds: Sequence[float], target: float) -> int | None:
    """Return after how many rounds a validation score is reached; None if it never is.

    Example:
        >>> rounds_to([0.2, 0.6, 0.5, 0.7], 0.55)
        2
    """
    return next((number for number, score in enumerate(rounds, start=1) if score >= target), None)


@dataclass(frozen=True)
class Row:
    """One way to train on one cohort, over its seeds.

    Attributes:
        title: For people.
        sites: Mean Dice of each hospital.
        gains: Each hospital's mean gain over its local-only model; empty where it was not measured.
        better: Mean difference to the reference; None for the reference.
        better_at_worst: The same of the worst hospital.
        rounds: Rounds to 0.9 of the pooled model's validation Dice, by seed.
        bytes_a_round: Mean, of all sites.
        cpu_seconds: Mean.
    """

    title: str
    sites: Mapping[str, float]
    gains: Mapping[str, Difference]
    better: Difference | None = None
    better_at_worst: Difference | None = None
    rounds: tuple[int | None, ...] = ()
    bytes_a_round: float | None = None
    cpu_seconds: float | None = None

    @property
    def mean(self) -> float:
        """Mean over hospitals."""
        return fmean(self.sites.values())

    @property
    def worst(self) -> tuple[str, float]:
        """The worst hospital and its mean."""
        return min(self.sites.items(), key=lambda one: one[1])


def compare_all(outcomes: Mapping[Run, Outcome]) -> dict[str, dict[str, list[Row]]]:
    """Return the rows of every table, by block and title.

    A block is a cohort with one network, as local-only and pooled models are of one. Algorithms of which
    other seeds were run saw other patients, so their means can't stand beside each other: a block has a table
    for each set of seeds, with the algorithms that have all of them.

    Example:
        >>> compare_all({})
        {}
    """
    blocks = {}
    for cohort in COHORTS:
        for network in dict.fromkeys(one.network for one in ALGORITHMS.values()):
            chosen = {
                run: done
                for run, done in outcomes.items()
                if run.cohort == cohort
                and run.left_out is None
                and ALGORITHMS[run.algorithm].network == network
            }
            tables = {}
            for seeds, runs in _by_seeds(chosen).items():
                several = "seed" if len(seeds) == 1 else "seeds"
                of_network = "" if network is None else f", {network}"
                title = f"The {cohort} cohort{of_network}, {several} {', '.join(map(str, seeds))}"
                tables[title] = compare(runs, cohort)
            if tables:
                blocks[cohort if network is None else f"{cohort}-{network}"] = tables
    return blocks


def _by_seeds(outcomes: Mapping[Run, Outcome]) -> dict[tuple[int, ...], dict[Run, Outcome]]:
    """Each set of seeds that an algorithm has, the smallest first, with the runs of all that have it."""
    seeds: dict[str, set[int]] = {}
    for run in outcomes:
        seeds.setdefault(run.algorithm, set()).add(run.seed)
    return {
        common: {
            run: done
            for run, done in outcomes.items()
            if run.seed in common and seeds[run.algorithm] >= {*common}
        }
        for common in sorted({tuple(sorted(one)) for one in seeds.values()}, key=lambda one: (len(one), one))
    }


def compare(outcomes: Mapping[Run, Outcome], cohort: str) -> list[Row]:
    """Return the rows of a cohort: local-only, pooled, and each algorithm that has runs.

    An algorithm is compared with its reference over the seeds that both have.
    """
    runs = {run: done for run, done in outcomes.items() if run.cohort == cohort and run.left_out is None}
    compared = {run.seed: done for run, done in runs.items() if run.compares}
    rows = []
    if compared:
        done = list(compared.values())
        alone = [(one.local, one.patients) for one in done]
        pooled = [(one.pooled, one.patients) for one in done]
        gained = [(one.pooled, one.local) for one in done]
        rows = [_baseline("local-only", alone, []), _baseline("pooled", pooled, gained)]
    for name in ALGORITHMS:
        of_it = {run.seed: done for run, done in runs.items() if run.algorithm == name}
        if of_it:
            rows.append(_algorithm(name, of_it, runs, compared))
    return rows


def _baseline(
    title: str,
    pairs: Sequence[tuple[PatientScores, PatientScores]],
    gained: Sequence[tuple[PatientScores, PatientScores]],
) -> Row:
    return Row(
        title,
        _over_seeds([site_means(one) for one, _ in pairs]),
        _gains(gained),
        mean_difference(pairs),
        worst_site_difference(pairs),
    )


def _algorithm(
    name: str, of_it: Mapping[int, Outcome], runs: Mapping[Run, Outcome], compared: Mapping[int, Outcome]
) -> Row:
    algorithm = ALGORITHMS[name]
    beside = {run.seed: done for run, done in runs.items() if run.algorithm == algorithm.reference}
    shared = [seed for seed in of_it if seed in beside and algorithm.reference != name]
    pairs = [(of_it[seed].patients, beside[seed].patients) for seed in shared]
    gained = [(of_it[seed].patients, compared[seed].local) for seed in of_it if seed in compared]
    targets = {seed: one.pooled_validation or math.inf for seed, one in compared.items()}
    return Row(
        algorithm.title,
        _over_seeds([site_means(done.patients) for done in of_it.values()]),
        _gains(gained),
        mean_difference(pairs) if pairs else None,
        worst_site_difference(pairs) if pairs else None,
        tuple(rounds_to(done.rounds, 0.9 * targets[seed]) for seed, done in of_it.items() if seed in targets),
        fmean(done.bytes_a_round for done in of_it.values()),
        # Runs of the reference train the baselines as well.
        None if algorithm.reference == name else fmean(done.cpu_seconds for done in of_it.values()),
    )


def _over_seeds(means: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {site: fmean(one[site] for one in means) for site in means[0]}


def _gains(pairs: Sequence[tuple[PatientScores, PatientScores]]) -> dict[str, Difference]:
    if not pairs:
        return {}
    return {
        site: mean_difference([({site: first[site]}, {site: second[site]}) for first, second in pairs])
        for site in pairs[0][0]
    }
