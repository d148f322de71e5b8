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
from consilium.errors import ConfigurationError, DataError
from consilium.federation.site.assessment import expect_role
from consilium.participant.case_admission import site_case_format
from consilium.participant.patient_selection import describe_sets, describe_withheld, lack_of_patients
from consilium.participant.site_cases import left_out_by_code, read_site_cohort, recall_site_cohort
from consilium.participant.site_settings import SiteSettings
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
    site: SiteSettings, learning: LearningSettings, *, progress: Progress | None = None
) -> tuple[list[SiteFinding], Cohort | None]:
    """Read the folder's names and labels, and recall what an earlier check of its images found.

    Images are not looked at here. Where `consilium check` or a job has looked at every case as it is now, the
    counts are those that training would see.

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
    if checked is not None:
        return [_evaluate_checked(checked, site, learning), labels], checked.cohort
    return [_evaluate_unchecked(cohort, site, learning), labels], cohort


def _evaluate_checked(checked: CheckedCohort, site: SiteSettings, learning: LearningSettings) -> SiteFinding:
    """Assess cases that were read: nothing else is left out by a job."""
    cohort = checked.cohort
    seen = f"{_describe(cohort, learning)}; every case was checked"
    data, named = _count(cohort, checked=True), _name(cohort)
    try:
        expected = expect_role(checked, site, learning)
    except DataError as error:
        return CASES.failed(
            f"{seen}. The site's register of patients can't be used",
            "restore state_dir of local/privacy.json; docs/site.md says what is in it",
            details=[str(error)],
            data=data,
        )
    if expected.can == "train":
        seen = f"{seen}. {describe_sets(*expected.patients, expected.withheld)}"
    if expected.held_back:
        seen = f"{seen}; {expected.held_back} held back from evaluation (docs/privacy.md)"
    if expected.can == "nothing":
        return CASES.failed(
            f"{seen}. A job would be declined: {expected.refusal}", _remedy(cohort), data=data, cases=named
        )
    if expected.can == "evaluate" and site.role == "trains":
        lack = lack_of_patients(site, _labeled_patients(cohort))
        return CASES.warning(f"{seen}. {lack}" if lack else seen, _remedy(cohort), data=data, cases=named)
    if expected.withheld:
        return CASES.warning(seen, _remedy(cohort, _SCORES), data=data, cases=named)
    if cohort.problems:
        return CASES.warning(seen, _remedy(cohort), data=data, cases=named)
    return CASES.ok(seen, data=data)


def _evaluate_unchecked(cohort: Cohort, site: SiteSettings, learning: LearningSettings) -> SiteFinding:
    """Assess cases by their names and labels; images may leave more of them out."""
    seen, remedy = f"{_describe(cohort, learning)}; images NOT checked", _remedy(cohort, *_CHECK)
    data, named = _count(cohort, checked=False), _name(cohort)
    details = [f"consilium check {shlex.quote(str(site.dataset))}"]
    if site.label_convention:
        details[0] += f" --convention {site.label_convention}"
    if site.patients_file:
        details[0] += f" --patients {shlex.quote(str(site.patients_file))}"
    for role, endings in site.file_endings.items():
        details[0] += "".join(f" --file-ending {shlex.quote(f'{role}={ending}')}" for ending in endings)
    lacking = (*site.missing_inputs, *site.missing_targets_of(get_task(learning.task)))
    details[0] += "".join(f" --missing {name}" for name in lacking)
    patients = _labeled_patients(cohort)
    if not patients:
        return CASES.failed(seen, _remedy(cohort), data=data, cases=named)
    if site.role == "trains" and (lack := lack_of_patients(site, patients)):
        seen = f"{seen}. {lack}"
    elif site.role == "trains" and (withheld := _expect_withheld(site, learning, patients)):
        seen, remedy = f"{seen}. {withheld}", f"{remedy} {_SCORES}"
    return CASES.warning(seen, remedy, details=details, data=data, cases=named)


def _expect_withheld(site: SiteSettings, learning: LearningSettings, patients: int) -> str:
    """Say that a site that has not split any patients yet would send no score; "" if it would."""
    test, validation = site.set_shares.sizes(patients)
    return describe_withheld(site, get_task(learning.task), validation, test)


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
