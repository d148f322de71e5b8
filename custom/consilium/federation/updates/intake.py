"""Intake of client updates: checks of form, screening, spooling and aggregation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from consilium.aggregation.form import UpdateForm
from consilium.aggregation.rules import (
    AggregationRule,
    AggregationSettings,
    euclidean_norm,
)
from consilium.federation.updates.rejection_history import RejectedUpdate
from consilium.federation.updates.screening import Screening
from consilium.federation.updates.spool import UpdateSpool
from consilium.learning.weights import MODEL, WeightSets, join_sets, split_sets
from consilium.records.federation import SiteReport


@dataclass(frozen=True)
class Contribution:
    """Contribution of one site to a question of a round.

    Attributes:
        sets: Weight sets by name: the difference under `MODEL`, and others; only declared ones.
        report: What the site says of its training; None where it was not asked to train.
        content: The plain values that a question of the algorithm's own asks for, checked.
    """

    sets: WeightSets
    report: SiteReport | None = None
    content: BaseModel | None = None


@dataclass(frozen=True)
class Aggregate:
    """Combined answers of a round.

    Attributes:
        sets: Weight sets by name: the aggregated difference under `MODEL`, and others.
        shares: Each site's share in it; they add up to 1. None where the server can't know it.
        left_out: Sites whose updates were not used after all, each with the reason.
    """

    sets: WeightSets
    shares: Mapping[str, float | None]
    left_out: Mapping[str, str] = field(default_factory=dict)


class Aggregator(Protocol):
    """Aggregator of answers, which arrive one by one and need not be stored or seen in the clear.

    An aggregator of masked or encrypted updates rejects malformed ones in `add`, and none in `screen`.
    """

    def add(self, site: str, contribution: Contribution) -> float | None:
        """Add one site's contribution.

        Args:
            site: Its name.
            contribution: The weight difference, or its substitute, and what comes with it.

        Returns:
            The update's Euclidean norm; None where it can't be seen.

        Raises:
            RejectedUpdate: If the update can't be used. The aggregate is as if it had never come.
            OSError: If the server can't keep it.
        """

    def screen(self) -> dict[str, str]:
        """Compare all updates of the round; returns the rejected sites, each with the reason."""


@dataclass(frozen=True)
class _Taken:
    report: SiteReport
    norm: float
    pace: float


StepScaling: TypeAlias = "Callable[[Mapping[str, int], Mapping[str, float]], Mapping[str, float]]"
"""Steps and shares of the sites to a factor of each site's update."""

Votes: TypeAlias = "Callable[[Mapping[str, SiteReport]], Mapping[str, float]]"
"""Reports of the sites to what their shares are proportional to, before limits."""


class ScreenedAggregation:
    """Checks each update, spools it to disk, rejects outliers, and combines the others by the job's rule.

    Updates are spooled and not added up at once, as an outlier shows only when all have arrived. Memory holds
    one of them at a time, and then one tensor at a time; the result does not depend on the order of arrival,
    bit by bit.

    Args:
        reference: Weight sets with the names, shapes and types that an update must have.
        round_index: The round, from 0.
        settings: The rule.
        screening: The state of earlier rounds.
        folder: Where updates are kept until `close`.
        scaling: Factors of the updates, before they are combined; None: they count as they are.
        votes: What the shares are proportional to; None: training cases.
    """

    def __init__(
        self,
        reference: WeightSets,
        round_index: int,
        settings: AggregationSettings,
        screening: Screening,
        folder: Path,
        scaling: StepScaling | None = None,
        votes: Votes | None = None,
    ) -> None:
        self._sets = tuple(reference)
        self._form = UpdateForm(join_sets(reference))
        self._round_index = round_index
        self._settings = settings
        self._screening = screening
        self._spool = UpdateSpool(folder)
        self._scaling = scaling
        self._votes = votes
        self._taken: dict[str, _Taken] = {}

    def add(self, site: str, contribution: Contribution) -> float:
        """Take one site's update and return the Euclidean norm of its difference.

        Raises:
            RejectedUpdate: If names, shapes or types of numbers differ from the model's, a value or the norm
                is not finite, nothing changes, it was sent before, the reported counts can't be, or the site
                was already counted.
            OSError: If the disk is full or gone.
        """
        if site in self._taken:
            raise RejectedUpdate("it is a second one in the same round")
        update, report = join_sets(contribution.sets), contribution.report
        if report is None:
            raise RejectedUpdate("it has no report")
        if (fault := self._form.fault(update)) is not None:
            raise RejectedUpdate(fault)
        self._screening.check_counts(site, report)
        with np.errstate(over="ignore"):
            norm = euclidean_norm(list(contribution.sets[MODEL].values()))
        if not norm:
            raise RejectedUpdate("it changes nothing")
        if not math.isfinite(norm):
            raise RejectedUpdate("its values are too large to add up")
        self._screening.check_repetition(site, update, self._round_index)
        self._spool.keep(site, update)
        pace = self._screening.pace(norm, report.steps, self._round_index)
        self._taken[site] = _Taken(report, norm, pace)
        return norm

    @property
    def paces(self) -> dict[str, float]:
        """Length of each update that was taken, in terms of its learning rates, by site."""
        return {site: one.pace for site, one in self._taken.items()}

    def screen(self) -> dict[str, str]:
        """Reject updates far longer than the others'; returns their sites with the reason."""
        rejected = self._screening.outliers(self.paces)
        self.drop(rejected)
        return rejected

    def drop(self, sites: Iterable[str]) -> None:
        """Remove updates that were taken.

        Args:
            sites: Whose they are.
        """
        for site in sites:
            self._spool.drop(site)
            del self._taken[site]

    def result(self) -> Aggregate:
        """Return the aggregated sets, and each site's share in them.

        Raises:
            RejectedUpdate: If there is no update, or the aggregate is not finite.
        """
        if not self._taken:
            raise RejectedUpdate("no site sent an update")
        reports = {site: one.report for site, one in sorted(self._taken.items())}
        steps = {site: one.steps for site, one in reports.items()}
        cases = {site: float(one.train_cases or 0) for site, one in reports.items()}
        rule = AggregationRule(
            self._settings,
            cases=self._votes(reports) if self._votes else cases,
            norms={site: one.norm for site, one in self._taken.items()},
            scaling=partial(self._scaling, steps) if self._scaling else None,
        )
        aggregate = {}
        for name, shape in self._form.shapes.items():
            with np.errstate(over="ignore"):
                aggregate[name] = rule.combine(shape, partial(self._read, name))
            if not np.isfinite(aggregate[name]).all():
                raise RejectedUpdate("the aggregate is not finite, although every update was")
        self._screening.accept(self.paces)
        return Aggregate(split_sets(aggregate, self._sets), rule.shares)

    def close(self) -> None:
        """Remove the round's updates from the disk."""
        self._spool.close()

    def _read(self, name: str, site: str, rows: slice | None) -> NDArray[Any]:
        return self._spool.read(site, name, rows)
