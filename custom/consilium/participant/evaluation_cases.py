"""Selection of the cases that an evaluation of models is about, and of their subgroups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

from consilium.data.split import CaseT, EvaluatedSet
from consilium.participant.patient_register import PatientRegister
from consilium.participant.patient_selection import COUNTS, SCORES, SUBGROUPS, ScoreMinimum, scored_cases
from consilium.participant.site_settings import SiteSettings
from consilium.tasks.base import Task


@dataclass(frozen=True)
class EvaluationCases(Generic[CaseT]):
    """The cases that an evaluation of models is about.

    Attributes:
        set: Which patients they are.
        cases: The cases; empty where nothing may be answered.
        minimum: Fewest patients behind a number.
        counted: Whether counts of patients and intervals may leave, and not only means.
    """

    set: EvaluatedSet
    cases: tuple[CaseT, ...]
    minimum: int
    counted: bool = True


def select_evaluated(
    register: PatientRegister, site: SiteSettings, task: Task, labeled: Sequence[CaseT], *, job_minimum: int
) -> EvaluationCases[CaseT]:
    """Return the cases that an evaluation of models is about, and which set they are.

    A hospital that only evaluates reports on all patients that it neither trained on nor chose models by.
    Answers hold counts, and are of whole groups of `min_count` patients. A hospital with fewer answers with
    what it sends in a training: means over `min_training_patients`, and no counts.

    Args:
        register: The site's.
        site: What the hospital decides.
        task: What the cases are labeled for.
        labeled: The usable labeled cases.
        job_minimum: Fewest patients of the whole answer that the job wants.
    """
    name: EvaluatedSet = "test"
    cases: Sequence[CaseT] = ()
    apart: Sequence[CaseT] = ()
    if site.role == "trains":
        split = register.split(labeled, site.set_shares)
        name, cases, apart = ("test", split.test, split.validation)
        if not split.test:
            name, cases, apart = ("validation", split.validation, split.test)
    else:
        cases = register.untouched(labeled)
    minimum = count_minimum(site)
    found = register.answerable(
        COUNTS,
        cases,
        minimum=minimum,
        job_minimum=job_minimum,
        compared={SCORES: site.min_training_patients, SUBGROUPS: site.min_training_patients},
        apart=apart,
    )
    if found.cases or task.evaluation.metrics.has_counts:
        return EvaluationCases(name, found.cases, max(minimum, job_minimum))
    fewest = ScoreMinimum.of(site, task).patients
    means = scored_cases(register, site, task, cases, apart, job_minimum)
    return EvaluationCases(name, means.cases, max(fewest, job_minimum), counted=False)


def allow_subgroup(register: PatientRegister, site: SiteSettings, cases: Sequence[CaseT]) -> bool:
    """Return whether a part of the evaluated cases may be answered about on its own.

    It is not, if it, the rest, or anything that follows from earlier answers would be of too few patients.

    Args:
        register: The site's.
        site: What the hospital decides.
        cases: The part.
    """
    minimum = count_minimum(site)
    return register.answers_part(SUBGROUPS, cases, minimum=minimum, beside=(COUNTS, SCORES))


def count_minimum(site: SiteSettings) -> int:
    """Return the fewest patients that answers with counts are about."""
    return max(site.min_count, site.min_training_patients)
