"""The hospital's dataset folder: can it be read, what is in it, what its labels mean."""

from __future__ import annotations

from collections import Counter

from consilium.data.case import ProblemCode
from consilium.data.cohort import Cohort, read_cohort
from consilium.data.progress import Progress
from consilium.errors import DataError
from consilium.learning.participant import SiteSettings
from consilium.learning.settings import LearningSettings
from consilium.provisioning.check.finding import Finding, Subject
from consilium.tasks import get_task

CASES = Subject("dataset.cases", "Cases can be used")
LABELS = Subject("dataset.labels", "What labels mean is known")

_MIN_TO_TRAIN = 2


def check_dataset(
    site: SiteSettings, learning: LearningSettings, *, progress: Progress | None = None
) -> tuple[list[Finding], Cohort | None]:
    """Read the folder as a job would before it preprocesses: names, label values, conventions.

    Returns:
        The findings, and the cohort if the folder as a whole can be used.
    """
    try:
        cohort = read_cohort(
            site.dataset,
            modalities=get_task(learning.task).modalities,
            convention=site.label_convention,
            progress=progress,
        )
    except DataError as error:
        failure = CASES.failed(
            "the dataset folder as a whole can't be used: it is missing, empty, of no known layout or of "
            "several, or what its labels mean can't be told; see below",
            "correct dataset, or label_convention, in local/privacy.json; docs/data.md says what a folder "
            "may look like",
            details=[str(error)],
        )
        return [failure, LABELS.skipped("the folder can't be used")], None
    return [_judge_cases(cohort, site), _judge_labels(cohort, site)], cohort


def _judge_cases(cohort: Cohort, site: SiteSettings) -> Finding:
    labeled = [case for case in cohort.cases if case.label is not None]
    patients = len({case.patient for case in labeled})
    left_out = Counter(problem.code for problem in cohort.problems)
    by_code = {code.value: count for code, count in sorted(left_out.items(), key=lambda item: item[0].value)}
    data = {
        "layout": cohort.layout,
        "cases": len(cohort.cases),
        "labeled": len(labeled),
        "labeled_patients": patients,
        "left_out": by_code,
    }
    seen = (
        f"{len(labeled)} labeled cases of {patients} patients, {len(cohort.cases) - len(labeled)} unlabeled; "
    )
    seen += f"layout {cohort.layout}"
    if by_code:
        seen += f"; left out: {', '.join(f'{count} {code}' for code, count in by_code.items())}"
    named = [problem.describe() for problem in cohort.problems]
    remedies = " ".join(f"{code.value}: {code.remedy}" for code in ProblemCode if left_out[code])
    if not labeled:
        return CASES.failed(
            seen,
            remedies or "add labels to the cases: without any a site can neither train nor evaluate",
            data=data,
            cases=named,
        )
    if site.role == "trains" and patients < _MIN_TO_TRAIN:
        return CASES.warning(
            f"{seen}. One patient can't be split into training and validation: this site will only evaluate",
            " ".join(["add labeled cases of more patients.", remedies]).strip(),
            data=data,
            cases=named,
        )
    if by_code:
        return CASES.warning(seen, remedies, data=data, cases=named)
    return CASES.ok(seen, data=data)


def _judge_labels(cohort: Cohort, site: SiteSettings) -> Finding:
    if cohort.convention is None:
        return LABELS.skipped("there is no label to look at")
    source = "said in local/privacy.json" if site.label_convention else "found from names and values"
    return LABELS.ok(
        f"{cohort.convention.value}, {source}", data={"label_convention": cohort.convention.value}
    )
