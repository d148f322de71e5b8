"""The site's answer to a readiness check: counts, codes and its machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import psutil

from consilium.counts import count_patients
from consilium.data.case import Case
from consilium.data.case_format import Progress
from consilium.data.checks import CheckedCohort, Severity
from consilium.data.finding import Finding
from consilium.errors import RefusalCode, SiteRefusal
from consilium.federation.versions import component_versions
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.participant.case_admission import (
    left_out_reason,
    missing_inputs_refusal,
    missing_targets_refusal,
    site_case_format,
)
from consilium.participant.patient_register import PatientRegister
from consilium.participant.patient_selection import (
    ScoreMinimum,
    check_patient_count,
    check_round,
    describe_withheld,
    select_cases,
)
from consilium.participant.register_files import open_register, read_register
from consilium.participant.site_cases import (
    case_identity,
    count_left_out,
    examine_cases,
)
from consilium.participant.site_settings import SiteSettings
from consilium.process_limits import available_cores
from consilium.records.readiness import Ability, Grid, Hardware, SiteReadiness, StatedDemand
from consilium.tasks import get_task
from consilium.tasks.learning_settings import LearningSettings

_GIB = 2**30


def check_readiness(
    site: SiteSettings,
    learning: LearningSettings,
    *,
    progress: Progress,
    cancelled: Callable[[], bool],
    on_refusal: Callable[[SiteRefusal], None],
    on_problems: Callable[[Sequence[Finding]], None],
) -> SiteReadiness:
    """Examine a site's cases, and report what it can do with them.

    Args:
        site: What the hospital decides.
        learning: What the job to come decides.
        progress: Called for each case.
        cancelled: Asked before every case.
        on_refusal: Called with the reason where the folder as a whole can't be used.
        on_problems: Called with the cases left out; they name patients.

    Raises:
        DataError: If the cache, or the site's register of patients, can't be used.
        Cancelled: Soon after `cancelled` turned true.
    """
    try:
        case_format = site_case_format(site, get_task(learning.task), learning)
        checked = examine_cases(site, case_format, progress=progress, cancelled=cancelled)
    except SiteRefusal as error:
        on_refusal(error)
        return SiteReadiness(
            can="nothing",
            reason=error.public_reason,
            code=error.code,
            privacy=StatedDemand.of(site.privacy),
            hardware=hardware(site),
            versions=component_versions(),
        )
    on_problems(checked.cohort.problems)
    return assess(checked, site, learning, component_versions())


def assess(
    checked: CheckedCohort, site: SiteSettings, learning: LearningSettings, versions: dict[str, str]
) -> SiteReadiness:
    """Report what a site can do with its cases.

    Args:
        checked: What was found in its folder.
        site: What the hospital decides; numbers of fewer patients than its `min_count` stay there.
        learning: What the job to come decides.
        versions: Of the site's packages.

    Raises:
        DataError: If the site's register of patients can't be used.
    """
    cohort, task = checked.cohort, get_task(learning.task)
    scores = ScoreMinimum.of(site, task)
    noted = [
        (finding.code.value, case_identity(finding.case_id, cohort))
        for finding in checked.findings
        if finding.severity is not Severity.ERROR and finding.case_id is not None and not finding.accepted
    ]
    accepted = [
        (finding.code.value, case_identity(finding.case_id, cohort))
        for finding in checked.accepted
        if finding.case_id is not None
    ]
    with open_register(site, cohort.patients.examinations) as register:
        can, refusal = assess_ability(checked, site, learning, register)
        sets = select_cases(register.copy(), site, _labeled(checked), task)
        usable = register.answerable("usable", _labeled(checked), minimum=site.min_count)
        left_out = count_left_out(register, cohort.problems, cohort, minimum=site.min_count)
        noted_by_code = register.count_by_code("noted", noted, minimum=site.min_count)
        accepted_by_code = register.count_by_code("accepted", accepted, minimum=site.min_count)
    return SiteReadiness(
        can=can,
        role=site.role,
        reason=refusal and refusal.public_reason,
        code=refusal and refusal.code,
        usable_cases=usable.count,
        usable_patients=None if usable.count is None else count_patients(usable.cases),
        validates=can != "nothing" and bool(sets.validation.cases),
        tests=can != "nothing" and bool(sets.test.cases),
        score_minimum=scores.patients,
        score_setting=scores.setting,
        left_out=left_out,
        noted=noted_by_code,
        accepted=accepted_by_code,
        layout=cohort.layout,
        label_convention=cohort.convention,
        missing_targets=list(site.missing_targets_of(task)),
        grid=_grid(usable.cases, checked) if usable.cases else None,
        privacy=StatedDemand.of(site.privacy),
        hardware=hardware(site),
        versions=versions,
    )


def assess_ability(
    checked: CheckedCohort,
    site: SiteSettings,
    learning: LearningSettings,
    register: PatientRegister,
    algorithm: AlgorithmSettings | None = None,
) -> tuple[Ability, SiteRefusal | None]:
    """Return a site's role with its cases, and the reason for limits, as in `prepare_site`.

    Args:
        checked: What was found in its folder.
        site: What the hospital decides.
        learning: What the job to come decides.
        register: The site's; nothing is decided in it.
        algorithm: What the job decides about its algorithm; None where that isn't known.
    """
    labeled = _labeled(checked)
    declined = missing_targets_refusal(site, learning, algorithm) or missing_inputs_refusal(
        checked, site, learning
    )
    if declined is not None:
        return "nothing", declined
    if not labeled:
        return "nothing", SiteRefusal("no usable labeled case", code=RefusalCode.NO_LABELED_CASE)
    reason = left_out_reason(checked, site)
    if reason is not None:
        return "nothing", SiteRefusal(reason, code=RefusalCode.LEFT_OUT)
    task = get_task(learning.task)
    selected = select_cases(register.copy(), site, labeled, task)
    minimum = ScoreMinimum.of(site, task)
    try:
        check_patient_count(selected.train, selected.evaluated, site.update_minimum, minimum)
        check_round(selected.train, site, learning)
    except SiteRefusal as refusal:
        return "nothing", refusal
    if site.role == "evaluates":
        decided = "it only evaluates, as the hospital decided"
        return "evaluate", SiteRefusal(decided, code=RefusalCode.ONLY_EVALUATES)
    if not selected.train:
        few = "one usable labeled patient, and training takes two"
        return "evaluate", SiteRefusal(few, code=RefusalCode.FEW_PATIENTS)
    return "train", None


@dataclass(frozen=True)
class ExpectedRole:
    """What a site would do in a job that started now: for the hospital alone.

    Attributes:
        can: What it would do.
        refusal: Why that is not all; None if it is.
        held_back: Cases to validate or to test on, on which no model is evaluated.
        patients: How many patients it trains on, how many choose models, and how many it reports on.
        withheld: That it would train and send no score, and why; "" if it would send one.
    """

    can: Ability
    refusal: SiteRefusal | None
    held_back: int
    patients: tuple[int, int, int]
    withheld: str


def expect_role(
    checked: CheckedCohort,
    site: SiteSettings,
    learning: LearningSettings,
    algorithm: AlgorithmSettings | None = None,
) -> ExpectedRole:
    """Return a site's expected role in a job, without storing decisions.

    Args:
        checked: What is known of its cases.
        site: What the hospital decides.
        learning: What the job decides.
        algorithm: What it decides about its algorithm; None where that isn't known.

    Raises:
        DataError: If the site's register of patients can't be read.
    """
    register = read_register(site, checked.cohort.patients.examinations)
    can, refusal = assess_ability(checked, site, learning, register, algorithm)
    task = get_task(learning.task)
    selected = select_cases(register.copy(), site, _labeled(checked), task)
    sets = (selected.train, selected.validation.cases, selected.test.cases)
    train, validation, test = (count_patients(cases) for cases in sets)
    withheld = ""
    if can == "train" and not selected.evaluated:
        split = register.copy().split(_labeled(checked), site.set_shares)
        withheld = describe_withheld(site, task, count_patients(split.validation), count_patients(split.test))
    return ExpectedRole(can, refusal, selected.held_back, (train, validation, test), withheld)


def _labeled(checked: CheckedCohort) -> list[Case]:
    return [case for case in checked.cohort.cases if case.labeled]


def hardware(site: SiteSettings) -> Hardware:
    """Return the resources of this machine for a job, rounded."""
    present = site.cache_dir
    while not present.exists():
        present = present.parent
    gpus = [] if site.device == "cpu" else _gpus_gib(site.device)
    return Hardware(
        cores=site.cpu_threads or available_cores(),
        memory_gib=round(psutil.virtual_memory().total / _GIB, 1),
        gpus_gib=gpus,
        free_disk_gib=round(shutil.disk_usage(present).free / _GIB, 1),
    )


def _gpus_gib(device: str) -> list[float]:
    """The memory of each GPU that a job may use; of the one that the site names, where it names one."""
    import torch  # seconds to load: not for a job that only counts, nor for who only writes one

    _, _, named = device.partition(":")
    indices = [one for one in range(torch.cuda.device_count()) if named in ("", str(one))]
    gpus = [torch.cuda.get_device_properties(index) for index in indices]
    return [round(gpu.total_memory / _GIB, 1) for gpu in gpus]


def _grid(cases: Sequence[Case], checked: CheckedCohort) -> Grid | None:
    patients = {case.patient: case.id for case in reversed(cases)}  # the first examination of each
    checks = [checked.checks[case_id] for case_id in patients.values() if case_id in checked.checks]
    known = [check.image_size for check in checks if check.image_size]
    if not known:  # the task keeps no sizes
        return None
    spacings = [one.spacing_mm for one in known if one.spacing_mm]
    return Grid(
        shape=tuple(round(float(edge)) for edge in np.median([one.shape for one in known], axis=0)),
        spacing_mm=tuple(round(float(edge), 3) for edge in np.median(spacings, axis=0)) if spacings else None,
    )
