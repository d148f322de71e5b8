"""Evaluation of a task: its metrics, and scores of a case, a site and a federation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from consilium.tasks.histograms import MetricBins
from consilium.tasks.measures import Measure, measures_of
from consilium.tasks.metrics import MetricSet, Scores

if TYPE_CHECKING:
    from torch import Tensor

    from consilium.data.cached_case import CachedCase

_BINS: Final = 20


class Evaluation(ABC):
    """Scoring of a task's predictions.

    A case gives a row of scores and counts; the rows of a site's cases give the site's scores; the scores of
    several sites give theirs together. Where a target belongs to a patient, the patient's images are one
    case. What is computed from other scores, such as kappa from a confusion matrix, comes from `derive`: the
    server computes it itself and never accepts a site's value.

    A finished model may be measured by more than training needs: see `measures`.
    """

    version: int = 1
    """Raised when the same prediction and reference would be measured otherwise."""

    @property
    @abstractmethod
    def metrics(self) -> MetricSet:
        """The metrics."""

    @abstractmethod
    def reference(self, case: CachedCase) -> Tensor:
        """Return what a prediction for a labeled case is compared with, in the prediction's form.

        Raises:
            ValueError: If the case has none.
        """

    @abstractmethod
    def score(self, prediction: Tensor, case: CachedCase, *, final: bool) -> Scores:
        """Score one labeled case.

        Args:
            prediction: What the task's inference returns for the case.
            case: The case.
            final: Whether the metrics for final models only are measured as well.

        Returns:
            Measured metrics by name; a count that is zero may be left out.
        """

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What each case of a finished model is measured by, in the order in which it is shown.

        Default: the metrics that a single case has. What is derived from counts is of all cases only.
        """
        return measures_of(self.metrics)

    @property
    def bins(self) -> Mapping[str, MetricBins]:
        """The public bins of each of `measures`, by name: a site counts its patients in them for others.

        They span all values of the measure. Default: twenty bins of equal width.
        """
        metrics = (self.metrics[one.name] for one in self.measures)
        return {
            one.name: MetricBins.in_steps(((one.high - one.low) / _BINS, one.high), start=one.low)
            for one in metrics
        }

    def measure(self, prediction: Tensor, case: CachedCase) -> Scores:
        """Measure one labeled case thoroughly, for the evaluation of a finished model.

        Default: `score` for final models.

        Args:
            prediction: What the task's inference returns for the case.
            case: The case.

        Returns:
            All `measures` by name, and the case's counts where the task has some.
        """
        return self.complete(self.score(prediction, case, final=True))

    def derive(self, scores: Mapping[str, float]) -> Scores:
        """Return the metrics that combine as `derived`, from the others of a row, a site or several sites.

        A task without such metrics has nothing to add.
        """
        return {}

    def restrict(self, scores: Mapping[str, float]) -> Scores:
        """Return a case's scores as they count at a hospital: all, unless its labels lack a target."""
        return dict(scores)

    def complete(self, measured: Mapping[str, float]) -> Scores:
        """Return measured scores with all that is computed from them, in the metrics' order."""
        scores = {**measured, **self.metrics.means(measured)}
        return self.metrics.arrange({**scores, **self.derive(scores)}) if scores else {}

    def summarize(self, rows: Iterable[Mapping[str, float]], patients: Sequence[str] | None = None) -> Scores:
        """Return a site's scores, computed ones among them; empty when there are no cases.

        Args:
            rows: The scores of each case.
            patients: Whose case each row is; see `MetricSet.summarize`.
        """
        scores = self.metrics.summarize(rows, patients)
        return self.metrics.arrange({**scores, **self.derive(scores)}) if scores else {}

    def combine(self, sites: Sequence[Mapping[str, float]]) -> Scores | None:
        """Return the scores of several sites together; None when there is no site."""
        if not sites:
            return None
        scores = self.metrics.combine(sites)
        return self.metrics.arrange({**scores, **self.derive(scores)}) if scores else {}
