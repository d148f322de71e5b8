"""Check of the hospital's dataset folder."""

from __future__ import annotations

import shlex
from collections import Counter

from consilium.counts import counted, list_counts
from consilium.data.case import FolderError
from consilium.data.case_format import Progress
from consilium.data.checks import CheckedCohort
from consilium.data.codes import DataCode
from consilium.data.cohort import Cohort
from consilium.data.problem_code import known_codes
from consilium.data.sources import SourceIndex
from consilium.default_task import DEFAULT, training_job
from consilium.errors import ConfigurationError, DataError
from consilium.federation.site.assessment import expect_role
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.participant.case_admission import site_case_format
from consilium.participant.patient_selection import describe_sets, lack_of_patients
from consilium.participant.site_cases import left_out_by_code, read_site_cohort, recall_site_cohort
from consilium.participant.site_settings import SiteSettings
from consilium.site_check.admitting_jobs import LACKS, describe_admitting_jobs
from consilium.site_check.finding import SiteCheck, SiteFinding
from consilium.site_check.folder import default_state
from consilium.tasks import get_task
from consilium.tasks.base import Task
from consilium.tasks.learning_settings import LearningSettings
from consilium.tasks.partial_labels import describe_missing_targets

CASES = SiteCheck("dataset.cases", "Cases can be used")
LABELS = SiteCheck("dataset.labels", "Label convention is known")

_CHECK = (
    "look at the images first, then repeat this: consilium check DIR with the folder of local/privacy.json, "
    "from this account.",
)

_SCORES = (
    "to have scores of this hospital reported, add labeled cases of more patients, or decide in "
    "local/privacy.json: larger shares (test_fraction), a lower minimum, or role evaluates."
)


def check_dataset(
    site: SiteSettings,
    learning: LearningSettings,
    algorithm: AlgorithmSettings | None = None,
    *,
    progress: Progress | None = None,
) -> tuple[list[SiteFinding], Cohort | None]:
    """Read the folder's names and labels, and recall what an earlier check of its images found.

    Images are not looked at here. Where `consilium check` or a job has looked at every case as it is now, the
    counts are those that training would see.

    Args:
        site: What the hospital decides.
        learning: What the job decides about training.
        algorithm: What it decides about its algorithm; None where that isn't known.
        progress: Called with each label that was read.

    Returns:
        The findings, and the cohort if the folder as a whole can be used.
    """
    task = get_task(learning.task)
    case_format = site_case_format(site, task, learning)
    folders = (default_state(), site.cache_dir)
    index = SourceIndex(also=folders)
    try:
        cohort = read_site_cohort(site, case_format, index=index, progress=progress)
    except (DataError, ConfigurationError) as error:
        why = (
            f"{error.code.summary} ({error.code.value})"
            if isinstance(error, FolderError)
            else "its patients file, or what else belongs to it"
        )
        failure = CASES.failed(
            f"the dataset folder as a whole can't be used: {why}",
            "correct dataset, file_endings, label_convention or patients_file in local/privacy.json; "
            "docs/data.md says what a folder may look like",
            details=[str(error)],
        )
        return [failure, LABELS.skipped("the folder can't be used")], None
    labels = _evaluate_labels(cohort, site, task)
    try:
        checked = recall_site_cohort(cohort, site, case_format, index=index, folders=folders)
    except ConfigurationError as error:
        failure = CASES.failed(
            "the file of accepted findings can't be used",
            "correct the file, or accepted_findings in local/privacy.json",
            details=[str(error)],
        )
        return [failure, labels], cohort
    known = checked or CheckedCohort(cohort, ())
    cases = _evaluate_cases(known, site, learning, algorithm, looked_at=checked is not None)
    return [cases, labels], known.cohort


def _evaluate_cases(
    checked: CheckedCohort,
    site: SiteSettings,
    learning: LearningSettings,
    algorithm: AlgorithmSettings | None,
    *,
    looked_at: bool,
) -> SiteFinding:
    """Assess cases as a job would. Images that were not looked at may leave more of them out, never fewer."""
    cohort = checked.cohort
    seen = f"{_describe(cohort, learning)}; {'every case was checked' if looked_at else 'images NOT checked'}"
    data, named = _count(cohort, checked=looked_at), _name(cohort)
    try:
        expected = expect_role(checked, site, learning, algorithm)
    except DataError as error:
        return CASES.failed(
            f"{seen}. The site's register of patients can't be used",
            "restore state_dir of local/privacy.json; docs/site.md says what is in it",
            details=[str(error)],
            data=data,
        )
    if expected.refusal is not None and expected.can == "nothing":
        # Not the whole refusal, whose details name cases.
        seen = f"{seen}. A job would be declined: {expected.refusal.public_reason}"
        lacks = expected.refusal.code in LACKS
        other = [describe_admitting_jobs(expected.refusal, site, learning)] if lacks else []
        return CASES.failed(seen, _remedy(cohort, *other), data=data, cases=named)
    steps = [] if looked_at else [*_CHECK]
    if expected.can == "train" and looked_at:
        seen = f"{seen}. {describe_sets(*expected.patients, expected.withheld)}"
    elif expected.withheld:
        seen = f"{seen}. {expected.withheld}"
    if expected.can == "evaluate" and site.role == "trains":
        lack = lack_of_patients(site, _labeled_patients(cohort))
        seen = f"{seen}. {lack}" if lack else seen
    elif expected.withheld:
        steps.append(_SCORES)
    elif looked_at and not cohort.problems:
        return CASES.ok(_add_held_back(seen, expected.held_back), data=data)
    details = [] if looked_at else [_check_command(site, learning)]
    seen = _add_held_back(seen, expected.held_back) if looked_at else seen
    return CASES.warning(seen, _remedy(cohort, *steps), details=details, data=data, cases=named)


def _add_held_back(seen: str, count: int) -> str:
    return f"{seen}; {count} held back from evaluation (docs/privacy.md)" if count else seen


def _check_command(site: SiteSettings, learning: LearningSettings) -> str:
    """Return the command that looks at the images, as the site's settings describe its folder."""
    command = f"consilium check {shlex.quote(str(site.dataset))}"
    if site.label_convention:
        command += f" --convention {site.label_convention}"
    if site.patients_file:
        command += f" --patients {shlex.quote(str(site.patients_file))}"
    for role, endings in site.file_endings.items():
        command += "".join(f" --file-ending {shlex.quote(f'{role}={ending}')}" for ending in endings)
    lacking = (*site.missing_inputs, *site.missing_targets_of(get_task(learning.task)))
    command += "".join(f" --missing {name}" for name in lacking)
    if learning.task != DEFAULT:
        command += f" --job {training_job(learning.task)}"
    if site.missing_inputs and learning.accepts_missing_inputs:  # else their images are not looked at
        setting = learning.missing_inputs_setting
        command += f" --set learning.{setting}={getattr(learning, setting):g}"
    return command


def _describe(cohort: Cohort, learning: LearningSettings) -> str:
    labeled = sum(case.labeled for case in cohort.cases)
    seen = (
        f"{counted(labeled, 'labeled case')} of {counted(_labeled_patients(cohort), 'patient')}, "
        f"{len(cohort.cases) - labeled} "
        f"unlabeled; layout {cohort.layout}"
    )
    by_code = left_out_by_code(cohort.problems)
    if not by_code:
        return seen
    inputs = get_task(learning.task).cases.inputs
    missing = Counter(name for case in cohort.left_out for name in inputs if name not in case.images)
    images = f" (missing: {list_counts(missing)})" if missing else ""
    return f"{seen}; left out: {list_counts(by_code)}{images}"


def _count(cohort: Cohort, *, checked: bool) -> dict[str, object]:
    return {
        "layout": cohort.layout,
        "checked": checked,
        "cases": len(cohort.cases),
        "labeled": sum(case.labeled for case in cohort.cases),
        "labeled_patients": _labeled_patients(cohort),
        "left_out": left_out_by_code(cohort.problems),
    }


def _labeled_patients(cohort: Cohort) -> int:
    return len({case.patient for case in cohort.cases if case.labeled})


def _name(cohort: Cohort) -> list[str]:
    return [problem.describe() for problem in cohort.problems]


def _remedy(cohort: Cohort, *more: str) -> str:
    """Say what to do about what is left out; where that is not it, that cases are missing."""
    found = {problem.code for problem in cohort.problems}
    lines = [*more, *(f"{code.value}: {code.remedy}" for code in known_codes() if code in found)]
    return " ".join(lines) if lines else "add labels, or labeled cases of more patients, to the folder"


def _evaluate_labels(cohort: Cohort, site: SiteSettings, task: Task) -> SiteFinding:
    if cohort.convention is None:
        return LABELS.skipped("there is no label to look at")
    source = "said in local/privacy.json" if site.label_convention else "found from names and values"
    missing = site.missing_targets_of(task)
    seen = f"{cohort.convention}, {source}"
    if missing:
        seen = f"{seen}. {describe_missing_targets(task.targets, missing)}"
    data = {"label_convention": cohort.convention, "missing_targets": list(missing)}
    doubts = [one for one in cohort.notices if one.code is DataCode.DOUBTFUL_CONVENTION]
    if not doubts:
        return LABELS.ok(seen, data=data)
    remedy = doubts[0].code.remedy
    if not missing:
        remedy = (
            f"{remedy} If the labels don't distinguish a target, agree to train without it: missing_targets "
            f"in local/privacy.json, of {', '.join(one.name for one in task.targets)}."
        )
    return LABELS.warning(
        f"{seen}; {doubts[0].code.summary}", remedy, details=[one.detail for one in doubts], data=data
    )
