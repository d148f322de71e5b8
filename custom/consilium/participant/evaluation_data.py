"""Cases of one site for an evaluation of models: which patients it is about, and their subgroups."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from consilium.counts import Count, counted
from consilium.data.cache import CachedCase
from consilium.data.case_format import Progress
from consilium.data.finding import Finding
from consilium.data.split import EvaluatedSet
from consilium.errors import DataError, RefusalCode, SiteRefusal
from consilium.participant.evaluation_cases import allow_subgroup, select_evaluated
from consilium.participant.patient_register import PatientRegister
from consilium.participant.register_files import open_register
from consilium.participant.site_data import prepare_cases, require_labeled
from consilium.participant.site_settings import SiteSettings
from consilium.participant.subgroups import read_subgroups
from consilium.tasks import get_task
from consilium.tasks.learning_settings import LearningSettings

_logger = logging.getLogger(__name__)

BAD_SUBGROUPS = "its file of subgroups can't be used; the site's log says why"


@dataclass(frozen=True)
class EvaluationData:
    """The cases that models are evaluated on.

    Attributes:
        cases: Labeled cases that no job trains on.
        minimum: Fewest patients behind a number that leaves.
        set: Which patients they are.
        counted: Whether counts of patients may leave, and not only means; see `select_evaluated`.
        split: Fingerprint of the register that divided the patients.
        subgroups: Attribute to value to the ids of its cases: those that may be answered about.
        withheld: How many subgroups of each attribute may not.
        note: Why there are no subgroups, where the hospital wanted some; None otherwise.
        left_out: Cases that are left out, by code, as far as it may leave.
        problems: These cases. They name patients: they stay on the site.
    """

    cases: tuple[CachedCase, ...] = field(repr=False)
    minimum: int
    set: EvaluatedSet = "validation"
    counted: bool = True
    split: str = field(default="", repr=False)
    subgroups: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict, repr=False)
    withheld: Mapping[str, int] = field(default_factory=dict)
    note: str | None = None
    left_out: Mapping[str, Count] = field(default_factory=dict)
    problems: tuple[Finding, ...] = field(default=(), repr=False)


def prepare_evaluation(
    site: SiteSettings,
    learning: LearningSettings,
    *,
    job_minimum: int,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> EvaluationData:
    """Read, check and preprocess a site's cases, and choose those that models are evaluated on.

    Args:
        site: What the hospital decides.
        learning: The settings that the models were trained with.
        job_minimum: Fewest patients that the job wants; a hospital's own minimum counts where it is larger.
        progress: Called for each case.
        cancelled: Asked before every case.

    Raises:
        SiteRefusal: As for training, or if the answer would be about too few patients.
        DataError: If the cache or the site's register can't be written.
        Cancelled: Soon after `cancelled` turned true.
    """
    missing = site.missing_targets_of(get_task(learning.task))
    if missing:
        raise SiteRefusal(
            f"its labels lack {' and '.join(missing)}, and models are compared by all targets",
            code=RefusalCode.MISSING_TARGETS,
        )
    checked, prepared = prepare_cases(site, learning, progress=progress, cancelled=cancelled)
    known = checked.cohort.patients.examinations
    with open_register(site, known) as register:
        labeled, left_out = require_labeled(register, site, checked, prepared)
        task = get_task(learning.task)
        chosen = select_evaluated(register, site, task, labeled, job_minimum=job_minimum)
        if not chosen.cases:
            raise SiteRefusal(
                f"its evaluation would be of fewer than {counted(chosen.minimum, 'patient')}, or would "
                "differ by fewer from an earlier answer, which its minimums and the job's min_patients "
                "forbid",
                code=RefusalCode.FEW_PATIENTS,
                left_out=left_out,
            )
        data = EvaluationData(
            chosen.cases,
            chosen.minimum,
            chosen.set,
            chosen.counted,
            register.fingerprint,
            left_out=left_out,
            problems=prepared.problems,
        )
        if site.subgroups_file is None:
            return data
        try:
            return _divide(data, site, known, register)
        except DataError as error:
            _logger.error("%s", error)
            return replace(data, note=BAD_SUBGROUPS)


def _divide(
    data: EvaluationData, site: SiteSettings, known: Mapping[str, str], register: PatientRegister
) -> EvaluationData:
    assert site.subgroups_file is not None  # asked before
    found = read_subgroups(site.subgroups_file, data.cases, known)
    subgroups: dict[str, dict[str, frozenset[str]]] = {}
    withheld: dict[str, int] = {}
    for attribute, values in found.items():
        allowed = {
            value: ids
            for value, ids in values.items()
            if _is_large(part := [case for case in data.cases if case.id in ids], data.minimum)
            and allow_subgroup(register, site, part)
        }
        subgroups[attribute] = allowed
        withheld[attribute] = len(values) - len(allowed)
    return replace(data, subgroups=subgroups, withheld=withheld)


def _is_large(cases: Sequence[CachedCase], minimum: int) -> bool:
    return len({case.patient for case in cases}) >= minimum
