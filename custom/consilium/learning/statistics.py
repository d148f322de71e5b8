"""The statistics of one site: histograms over its patients, with what the site demands for their privacy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from consilium.data.case import CaseProblem
from consilium.data.case_statistics import CaseStatistics, describe_cohort
from consilium.data.cohort import read_cohort
from consilium.data.labels import LabelConvention
from consilium.data.progress import Progress
from consilium.errors import DataError, SiteRefusal
from consilium.learning.features import AXES, Feature, task_features
from consilium.learning.participant import SiteSettings
from consilium.tasks.base import Task

Row = NDArray[np.float64]

_DIGITS = 6


class SiteStatistics:
    """Histograms over a site's patients.

    A record is a patient: the examinations of one are averaged first, so whoever came often counts once.
    Counts below the minimum are 0, and histograms over fewer patients are empty.

    Args:
        task: What is to be learned.
        cases: The patient and the numbers of every usable case.
        problems: Cases that are left out. They name patients: they stay on the site.
        convention: What the label values mean; None without labels.
        minimum: Fewest patients that a number may be about.
    """

    def __init__(
        self,
        task: Task,
        cases: Sequence[tuple[str, CaseStatistics]],
        *,
        problems: Sequence[CaseProblem] = (),
        convention: LabelConvention | None = None,
        minimum: int = 1,
    ) -> None:
        self.features = {feature.name: feature for feature in task_features(task)}
        self.problems = tuple(problems)
        self.convention = convention
        self.minimum = minimum
        self.cases = len(cases)
        self._task = task
        self._rows = {name: self._patient_rows(feature, cases) for name, feature in self.features.items()}

    @property
    def patients(self) -> int:
        """How many patients there are; not yet suppressed."""
        return max(len(rows) for rows in self._rows.values())

    @property
    def left_out(self) -> dict[str, int]:
        """How many cases are left out, by the code of the reason; not yet suppressed."""
        return dict(sorted(Counter(problem.code.value for problem in self.problems).items()))

    def count(self, feature: str) -> int:
        """Return over how many patients a feature's histogram is, 0 where they are fewer than the minimum."""
        patients = len(self._rows[feature])
        return patients if patients >= self.minimum else 0

    def histogram(self, feature: str) -> list[float]:
        """Return how many patients fall into each bin, which need not be a whole number.

        A patient that is spread over the bins adds one in all. Where each falls into one bin, neighboring
        bins are taken together until they hold the minimum of patients, and share them evenly: no bin says
        anything about fewer. Where only one pool is left, nothing is told.
        """
        defined = self.features[feature]
        if not self.count(feature):
            return [0.0] * defined.bins
        totals = np.sum(self._rows[feature], axis=0)
        told = totals if defined.spread else pool_bins(totals, self.minimum)
        return [round(float(value), _DIGITS) for value in told]

    def _patient_rows(self, feature: Feature, cases: Sequence[tuple[str, CaseStatistics]]) -> list[Row]:
        """One row of bins that add up to 1 for each patient that has the feature."""
        values: dict[str, list[Row]] = {}
        for patient, case in cases:
            value = self._value(feature, case)
            if value is not None:
                values.setdefault(patient, []).append(value)
        means = (np.mean(own, axis=0) for own in values.values())
        return [mean if feature.spread else _in_one_bin(float(mean), feature) for mean in means]

    def _value(self, feature: Feature, case: CaseStatistics) -> Row | None:
        """What a case has of a feature: its bins where it is spread, else one number."""
        if feature.group == "intensity":
            return np.asarray(case.intensity[feature.of])
        if feature.group == "scale":
            # A median of 0 or less has no logarithm; it is out of range like one below 1.
            return np.asarray(np.log10(max(case.median[feature.of], 1.0)))
        if feature.group in ("volume", "absence"):
            return self._region_value(feature, case)
        return np.asarray(
            (case.spacing_mm if feature.group == "spacing" else case.extent_mm)[AXES.index(feature.of)]
        )

    def _region_value(self, feature: Feature, case: CaseStatistics) -> Row | None:
        if case.tissue_ml is None:
            return None
        (region,) = (one for one in self._task.regions if one.name == feature.of)
        volume = sum(case.tissue_ml[tissue] for tissue in region.tissues)
        return np.asarray(volume if feature.group == "volume" else float(volume == 0))


def gather_statistics(
    site: SiteSettings,
    task: Task,
    *,
    min_count: int = 1,
    progress: Progress,
    cancelled: Callable[[], bool],
) -> SiteStatistics:
    """Read a site's cases, where they are not described in its cache already, and return its statistics.

    Args:
        site: What the hospital decides.
        task: What is to be learned.
        min_count: The job's minimum; the site's counts where it is higher.
        progress: Told about each case.
        cancelled: Asked before every case.

    Raises:
        SiteRefusal: If the folder as a whole can't be used.
        DataError: If the cache can't be written.
        Cancelled: Soon after `cancelled` turned true.
    """
    try:
        cohort = read_cohort(
            site.dataset, modalities=task.modalities, convention=site.label_convention, progress=progress
        )
    except DataError as error:
        raise SiteRefusal(
            "the dataset folder as a whole can't be used; the site's log says why", details=[str(error)]
        ) from error
    try:
        described, problems = describe_cohort(
            cohort, task.modalities, site.cache_dir, progress=progress, cancelled=cancelled
        )
    except OSError as error:
        raise DataError(
            f"The cache {site.cache_dir} can't be written ({error}): let the account that runs FLARE write "
            "to it, and make room on its disk."
        ) from error
    return SiteStatistics(
        task,
        [(case.patient, statistics) for case, statistics in described],
        problems=problems,
        convention=cohort.convention,
        minimum=max(site.min_count, min_count),
    )


def pool_bins(counts: Row, minimum: int) -> Row:
    """Take neighboring bins together until each pool holds a minimum, and spread each pool over its bins.

    Micro-aggregation in one dimension (Domingo-Ferrer and Mateo-Sanz 2002, doi 10.1109/69.979982): every
    number is about `minimum` patients at least, and their sum is kept.

    Args:
        counts: Patients in each bin, `(bins,)`.
        minimum: Of patients in a pool; with 1 nothing is pooled.

    Returns:
        `(bins,)`; zeros where there would be only one pool, which says nothing.
    """
    if minimum <= 1:
        return counts
    starts, held = [0], 0.0
    for place, count in enumerate(counts):
        if held >= minimum:
            starts.append(place)
            held = 0.0
        held += count
    if held < minimum and len(starts) > 1:
        starts.pop()
    if len(starts) == 1:
        return np.zeros_like(counts)
    pools = np.split(counts, starts[1:])
    return np.concatenate([np.full(len(pool), pool.sum() / len(pool)) for pool in pools])


def _in_one_bin(value: float, feature: Feature) -> Row:
    place = int((value - feature.low) / (feature.high - feature.low) * feature.bins)
    row = np.zeros(feature.bins)
    row[min(max(place, 0), feature.bins - 1)] = 1.0
    return row
