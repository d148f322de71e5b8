"""Statistics of one site: histograms over its patients, with the site's privacy rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from consilium.counts import Count
from consilium.data.case_format import Progress
from consilium.data.finding import Finding
from consilium.participant.case_admission import admit_cases
from consilium.participant.register_files import open_register
from consilium.participant.site_cases import count_left_out
from consilium.participant.site_settings import SiteSettings
from consilium.tasks.base import Task
from consilium.tasks.case_statistics import CaseStatistics, KeptStatistics
from consilium.tasks.features import Feature

Row = NDArray[np.float64]

_DIGITS = 6


class SiteStatistics:
    """Histograms over a site's patients.

    A record is a patient: the examinations of one are averaged first, so each patient counts once.
    Counts below the minimum are 0, and histograms over fewer patients are empty.

    Args:
        task: What is to be learned.
        cases: The patient and the numbers of every case that may be answered about.
        labeled: The same for what is asked of targets; default: those cases that have one.
        problems: Cases that are left out. They name patients: they stay on the site.
        left_out: How many they are, by the code of the reason: this may leave the site.
        held_back: How many usable cases nothing is answered about, by what is asked: of images, of labels.
        convention: What the label values mean; None without labels.
        minimum: Fewest patients that a number may be about: the site's. Groups of patients are made with it.
        job_minimum: The job's; where it is larger, whole groups are joined.
        missing_targets: Targets that the labels lack: nothing is counted of them.

    Attributes:
        minimum: The larger of the two.
    """

    def __init__(
        self,
        task: Task,
        cases: Sequence[tuple[str, CaseStatistics]],
        *,
        labeled: Sequence[tuple[str, CaseStatistics]] | None = None,
        problems: Sequence[Finding] = (),
        left_out: Mapping[str, Count] | None = None,
        held_back: Mapping[str, int] | None = None,
        convention: str | None = None,
        minimum: int = 1,
        job_minimum: int = 1,
        missing_targets: Collection[str] = (),
    ) -> None:
        self.features = {feature.name: feature for feature in task.statistics.features()}
        self.problems = tuple(problems)
        self.convention = convention
        self.left_out = dict(left_out or {})
        self.held_back = dict(held_back or {})
        self.minimum = max(minimum, job_minimum)
        self._site_minimum = minimum
        self.cases = len(cases)
        self.patients = len({patient for patient, _ in cases})
        marked = cases if labeled is None else labeled
        self._values = {
            name: _patient_values(name, marked if feature.group.about == "targets" else cases)
            for name, feature in self.features.items()
        }
        for name, feature in self.features.items():
            if feature.group.about == "targets" and feature.of in missing_targets:
                self._values[name] = []

    def count(self, feature: str) -> int:
        """Return over how many patients a feature's histogram is, 0 where they are fewer than the minimum."""
        patients = len(self._values[feature])
        return patients if patients >= self.minimum else 0

    def histogram(self, feature: str) -> list[float]:
        """Return how many patients fall into each bin.

        A patient that is spread over the bins adds one in all, so a bin need not hold a whole number. Values
        of which each falls into one bin are micro-aggregated before, so a bin is empty or holds at least the
        minimum of patients. A yes or no that fewer than the minimum share is withheld: all bins are 0.
        """
        defined, values = self.features[feature], self._values[feature]
        counts = np.zeros(defined.bins)
        if self.count(feature) and defined.group.form == "spread":
            counts = np.sum(values, axis=0)
        elif self.count(feature) and defined.group.form == "yes_no":
            counts = _count_values(np.rint(values), defined)
            if ((counts > 0) & (counts < self.minimum)).any():
                counts = np.zeros(defined.bins)
        elif self.count(feature):
            counts = _count_values(
                micro_aggregate(np.asarray(values), self._site_minimum, self.minimum), defined
            )
        return [round(float(count), _DIGITS) for count in counts]


def gather_statistics(
    site: SiteSettings,
    task: Task,
    *,
    min_count: int = 1,
    progress: Progress,
    cancelled: Callable[[], bool],
) -> SiteStatistics:
    """Read a site's cases, where they are not described in its cache already, and return its statistics.

    What is asked of images and what is asked of labels are two questions: a case can be part of one alone.

    Args:
        site: What the hospital decides.
        task: What is to be learned.
        min_count: The job's minimum; the site's counts where it is higher.
        progress: Called for each case.
        cancelled: Asked before every case.

    Raises:
        SiteRefusal: See `admit_cases`.
        DataError: If the cache or the site's register can't be written.
        Cancelled: Soon after `cancelled` turned true.
    """
    minimum = max(site.min_count, min_count)
    kept = KeptStatistics(site.cache_dir, task.name, task.statistics)
    of_targets = [feature.name for feature in task.statistics.features() if feature.group.about == "targets"]
    checked = admit_cases(site, task, products=(kept,), progress=progress, cancelled=cancelled)
    cohort, statistics_of = checked.cohort, checked.made.of(kept)
    described = [(case, statistics_of[case.id]) for case in cohort.cases]
    numbers = {case.id: (case.patient, statistics) for case, statistics in described}
    cases = [case for case, _ in described]
    with_label = [case for case, own in described if any(name in own.values for name in of_targets)]
    with open_register(site, cohort.patients.examinations) as register:
        left_out = count_left_out(
            register, cohort.problems, cohort, minimum=site.min_count, job_minimum=minimum
        )
        images, labels = (
            register.answerable(f"statistics of {name}", group, minimum=site.min_count, job_minimum=minimum)
            for name, group in (("images", cases), ("labels", with_label))
        )
    return SiteStatistics(
        task,
        [numbers[case.id] for case in images.cases],
        labeled=[numbers[case.id] for case in labels.cases],
        problems=cohort.problems,
        left_out=left_out,
        held_back={"images": images.held_back, "labels": labels.held_back},
        convention=cohort.convention,
        minimum=site.min_count,
        job_minimum=min_count,
        missing_targets=site.missing_targets_of(task),
    )


def micro_aggregate(values: Row, minimum: int, job_minimum: int = 1) -> Row:
    """Replace each value by the mean of its group of at least `minimum` patients with the nearest values.

    A larger job minimum joins neighboring groups and takes none apart: sums of groups of 5 and of 6 would
    differ by the sixth value, those of joined groups differ by whole groups.

    Univariate micro-aggregation (Domingo-Ferrer and Mateo-Sanz 2002, doi 10.1109/69.979982): the sum is kept,
    and every number is about that many patients at least.

    Args:
        values: One a patient, `(patients,)`, at least as many as both minimums.
        minimum: Size of a group; the last one may hold up to twice as many less one. No job decides it.
        job_minimum: Fewest patients of groups that are joined.

    Returns:
        The groups' means, `(patients,)`, in ascending order.
    """
    ordered = np.sort(values)
    joined = minimum * max(1, math.ceil(job_minimum / minimum))
    # Every start of a joined group is one of a group. A rest that is too small for the job joins the last.
    starts = np.arange(joined, len(ordered) - max(minimum, job_minimum) + 1, joined)
    return np.concatenate([np.full(len(group), group.mean()) for group in np.split(ordered, starts)])


def _patient_values(feature: str, cases: Sequence[tuple[str, CaseStatistics]]) -> list[Row]:
    """The mean over each patient's examinations, for each patient that has the feature."""
    values: dict[str, list[Row]] = {}
    for patient, case in cases:
        if feature in case.values:
            values.setdefault(patient, []).append(np.asarray(case.values[feature]))
    return [np.asarray(np.mean(own, axis=0)) for own in values.values()]


def _count_values(values: Row, feature: Feature) -> Row:
    inside = np.clip(values, feature.low, feature.high)
    return np.histogram(inside, bins=feature.bins, range=(feature.low, feature.high))[0].astype(np.float64)
