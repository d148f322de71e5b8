"""Admission of a site's cases to a job: what the hospital tolerates and the job can use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from consilium.counts import list_counts
from consilium.data.case_format import CaseFormat, Progress
from consilium.data.case_products import CaseProduct
from consilium.data.checks import CheckedCohort
from consilium.data.codes import DataCode
from consilium.errors import RefusalCode, SiteRefusal
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.participant.register_files import open_register
from consilium.participant.site_cases import count_left_out, examine_cases
from consilium.participant.site_settings import SiteSettings
from consilium.tasks import get_task
from consilium.tasks.base import Task
from consilium.tasks.learning_settings import LearningSettings


def admit_cases(
    site: SiteSettings,
    task: Task,
    learning: LearningSettings | None = None,
    *,
    products: Sequence[CaseProduct[Any]] = (),
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> CheckedCohort:
    """Find and check a site's cases; decline if more of them are left out than the hospital tolerates.

    Args:
        site: What the hospital decides.
        task: What is to be learned.
        learning: What the job decides; None for a job that trains nothing.
        products: See `examine_cases`, as for the rest.
        progress: Called for each case.
        cancelled: Asked before every case.

    Raises:
        SiteRefusal: See `examine_cases`, `missing_inputs_refusal` and `left_out_reason`.
        DataError: The cache can't be written.
        Cancelled: Soon after `cancelled` turned true.
    """
    checked = examine_cases(
        site,
        site_case_format(site, task, learning),
        products=products,
        progress=progress,
        cancelled=cancelled,
    )
    refusal = missing_inputs_refusal(checked, site, learning) if learning else None
    if refusal is not None:
        raise refusal
    reason = left_out_reason(checked, site)
    if reason is not None:
        cohort = checked.cohort
        with open_register(site, cohort.patients.examinations) as register:
            counts = count_left_out(register, cohort.problems, cohort, minimum=site.min_count)
        raise SiteRefusal(
            f"{reason} ({list_counts(counts)})",
            code=RefusalCode.LEFT_OUT,
            left_out=counts,
            details=[problem.describe() for problem in checked.cohort.problems],
        )
    return checked


def site_case_format(site: SiteSettings, task: Task, learning: LearningSettings | None = None) -> CaseFormat:
    """Return how a site's cases are found and read in a job.

    Cases without an image that the hospital lacks, and has agreed to do without, are used in jobs that train
    nothing, and in those whose models learn to do without images.

    Args:
        site: What the hospital decides.
        task: What is to be learned.
        learning: What the job decides; None for a job that trains nothing.
    """
    # A setting for all of the hospital's tasks may name images of another one.
    missing = [name for name in site.missing_inputs if name in task.inputs]
    if missing and (learning is None or learning.accepts_missing_inputs):
        return task.cases.lacking(missing)
    return task.cases


def missing_targets_refusal(
    site: SiteSettings, learning: LearningSettings, algorithm: AlgorithmSettings | None = None
) -> SiteRefusal | None:
    """Decline a job that has no use for labels that lack some targets; None if it has.

    Either its model needs all targets, or only sums over all sites leave the sites, and those of scores are
    of the same sites for every target.

    Args:
        site: What the hospital decides.
        learning: What the job decides.
        algorithm: What it decides about its algorithm; None where that isn't known.
    """
    missing = site.missing_targets_of(get_task(learning.task))
    if not missing:
        return None
    if not learning.accepts_missing_targets:
        why = "this job's model needs all targets"
    elif algorithm is not None and algorithm.sums_reports:
        why = "the sums of this job's secure aggregation are of sites that have all targets"
    else:
        return None
    return SiteRefusal(
        f"its labels lack {' and '.join(missing)}, and {why}", code=RefusalCode.MISSING_TARGETS
    )


def missing_inputs_refusal(
    checked: CheckedCohort, site: SiteSettings, learning: LearningSettings
) -> SiteRefusal | None:
    """Decline a job for which too many cases lack an image; None if they don't.

    They could be used if the hospital agreed and the job's model learned to do without images. A site with
    enough whole cases takes part with them; see `left_out_reason`.

    Args:
        checked: What was found in its folder.
        site: What the hospital decides.
        learning: What the job decides.
    """
    problems, accepts = checked.cohort.problems, learning.accepts_missing_inputs
    missing = sum(problem.code is DataCode.MISSING_IMAGE for problem in problems)
    if not (accepts or site.missing_inputs) or 2 * missing <= len(problems):
        return None
    labeled = any(case.labeled for case in checked.cohort.cases)
    if labeled and left_out_reason(checked, site) is None:
        return None
    reason = (
        "too many of its cases lack an image that the hospital has not agreed to do without"
        if accepts
        else f"it has cases without {' and '.join(site.missing_inputs)}, and this job's model doesn't learn "
        "to do without an image"
    )
    details = [problem.describe() for problem in problems]
    if accepts:
        details.append('to agree: "missing_inputs", the names of the images, in local/privacy.json')
    return SiteRefusal(reason, code=RefusalCode.MISSING_INPUTS, details=details)


def left_out_reason(checked: CheckedCohort, site: SiteSettings) -> str | None:
    """Say that more is left out than the hospital tolerates; None if not.

    A site without any labeled case can do nothing, and has its own reason for it.
    """
    used, left_out = len(checked.cohort.cases), len(checked.cohort.problems)
    labeled = any(case.labeled for case in checked.cohort.cases)
    if not labeled or left_out <= site.max_left_out * (used + left_out):
        return None
    return f"more than {site.max_left_out:.0%} of the cases would be left out, which its max_left_out forbids"
