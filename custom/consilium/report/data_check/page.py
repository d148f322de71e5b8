"""Findings in a hospital's folder as JSON and as an HTML page, both for the hospital only."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, Literal

from consilium.counts import counted
from consilium.data.checks import CheckedCohort, Finding, Severity
from consilium.data.codes import DataCode
from consilium.data.files import readable
from consilium.participant.case_admission import left_out_reason
from consilium.participant.patient_selection import describe_sets, describe_withheld, lack_of_patients
from consilium.participant.site_settings import SiteSettings
from consilium.report.chart_style import DARK, LIGHT
from consilium.report.data_check.finding_group import FindingGroup, group_findings
from consilium.report.html import page_environment
from consilium.tasks import get_task
from consilium.tasks.partial_labels import describe_missing_targets

FORMAT: Final = 3
"""Raised when the meaning of a key in `DataCheck.as_json` changes."""

Verdict = Literal["ready", "good_without_labels", "too_few_to_train", "cases_left_out", "not_usable"]

_HOW_TO_ACCEPT: Final = "consilium check DIR --write-accepted FILE writes the file to complete (docs/data.md)"
_MOST_FILES = 500
_MOST_PATIENTS_WITHOUT_SCORES = 100


@dataclass(frozen=True)
class DataCheck:
    """Findings in a folder.

    Args:
        folder: The dataset folder.
        job: The job for which grid and disk were checked.
        task: What that job is to learn.
        findings: Everything that was found, of the folder and of its cases.
        checked: The cases; None where the folder as a whole can't be used.
        missing_targets: Targets that the hospital's labels lack, in the task's order.
        created: Unix time in seconds.
    """

    folder: Path
    job: str
    task: str
    findings: tuple[Finding, ...]
    checked: CheckedCohort | None
    missing_targets: tuple[str, ...] = ()
    created: float = field(default_factory=time.time)

    @property
    def verdict(self) -> Verdict:
        """Whether the folder is ready, ready but for some cases or patients, or not usable."""
        errors = [one for one in self.findings if one.severity is Severity.ERROR]
        if any(one.case_id is None for one in errors):
            return "not_usable"
        if errors:
            return "cases_left_out"
        if any(one.code is DataCode.NO_LABELED_CASE for one in self.findings):
            return "good_without_labels"
        site = SiteSettings(dataset=self.folder)
        return "too_few_to_train" if lack_of_patients(site, self.labeled_patients) else "ready"

    @property
    def groups(self) -> Sequence[FindingGroup]:
        """Findings that are not accepted, by code: errors first, then what occurs most."""
        return group_findings(finding for finding in self.findings if not finding.accepted)

    @property
    def accepted(self) -> Sequence[FindingGroup]:
        """Findings that the hospital accepted, by code."""
        return group_findings(finding for finding in self.findings if finding.accepted)

    @property
    def total(self) -> int:
        """How many cases there are."""
        return self.counts["used"] + self.counts["left_out"]

    @property
    def labels(self) -> str:
        """What is known of the labels, in a few words."""
        cohort = self.checked.cohort if self.checked else None
        if cohort is None or not cohort.labels:
            return "no labels"
        if cohort.convention is None:
            labels = counted(cohort.labels, "label")
            meaningful = any(case.labeled for case in cohort.cases)  # they mean one thing: no convention
            return labels if meaningful else f"{labels}, what their values mean is not known"
        lacking = f", without {' and '.join(self.missing_targets)}" if self.missing_targets else ""
        return f"labels are {cohort.convention}{lacking}"

    @property
    def targets(self) -> str:
        """What follows from labels that lack targets, in a sentence; "" where they lack none."""
        missing = self.missing_targets
        return describe_missing_targets(get_task(self.task).targets, missing) if missing else ""

    @property
    def counts(self) -> dict[str, int]:
        """How many cases are used, used and labeled, and left out."""
        if self.checked is None:
            return {"used": 0, "labeled": 0, "left_out": 0}
        cohort = self.checked.cohort
        return {
            "used": len(cohort.cases),
            "labeled": sum(case.labeled for case in cohort.cases),
            "left_out": len({problem.case_id for problem in cohort.problems}),
        }

    @property
    def patients(self) -> int:
        """Of how many patients the cases that are used are."""
        return len({case.patient for case in self.checked.cohort.cases}) if self.checked else 0

    @property
    def labeled_patients(self) -> int:
        """How many patients have a case that is used and labeled: training takes two."""
        cases = self.checked.cohort.cases if self.checked else ()
        return len({case.patient for case in cases if case.labeled})

    @property
    def sets(self) -> str:
        """The sets that a site makes of its patients by default, in words; "" without labels."""
        patients = self.labeled_patients
        if not patients or self.checked is None:
            return ""
        site = SiteSettings(dataset=self.folder)
        if refused := left_out_reason(self.checked, site):
            return f"With the default settings of a site, a job would be declined: {refused}"
        test, validation = site.set_shares.sizes(patients)
        said = describe_sets(patients - test - validation, validation, test, self._withheld(patients))
        return f"With the default settings of a site. {lack_of_patients(site, patients) or said}"

    @property
    def advice(self) -> str:
        """What to do about too few patients, in words; "" if they suffice or something else is wrong."""
        if self.verdict == "ready" and self._withheld(self.labeled_patients):
            more = range(self.labeled_patients + 1, _MOST_PATIENTS_WITHOUT_SCORES)
            enough = next((number for number in more if not self._withheld(number)), None)
            return f"From {counted(enough, 'labeled patient')} on, its scores are sent" if enough else ""
        if self.verdict != "too_few_to_train":
            return ""
        return (
            "Add labeled patients. These can be evaluated and predicted on as they are (consilium evaluate, "
            "consilium predict); to try training out on this machine, add --min-patients 1 to consilium "
            "simulate or consilium train"
        )

    def _withheld(self, patients: int) -> str:
        """Say that a site with the default settings and so many labeled patients sends no score, and why."""
        site = SiteSettings(dataset=self.folder)
        test, validation = site.set_shares.sizes(patients)
        return describe_withheld(site, get_task(self.task), validation, test)

    def as_json(self, *, cases: bool = False) -> dict[str, Any]:
        """Return the findings as JSON values.

        Args:
            cases: Add the cases' ids and what was seen in each, with paths. Such output has to stay in the
                hospital.
        """
        cohort = self.checked.cohort if self.checked else None
        return {
            "format": FORMAT,
            "verdict": self.verdict,
            "job": self.job,
            "layout": cohort.layout if cohort else None,
            "label_convention": cohort.convention if cohort else None,
            "missing_targets": list(self.missing_targets),
            "cases": self.counts,
            "sets": self.sets,
            "unknown_files": len(cohort.unknown_files) if cohort else 0,
            "accepted": {group.code.value: len(group.cases) for group in self.accepted},
            "findings": [
                {
                    "code": group.code.value,
                    "severity": group.severity.value,
                    "summary": group.code.summary,
                    "cases": len(group.cases),
                    "images": group.images,
                    "remedy": group.code.remedy,
                    **({"seen": _seen(group.findings)} if cases else {}),
                }
                for group in self.groups
            ],
        }


def _seen(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    return [one.model_dump(mode="json", exclude={"code"}) for one in findings]


def render_data_check(check: DataCheck) -> str:
    """Render the page; it names cases and paths, so it stays in the hospital."""
    groups = [group for group in check.groups if group.cases]
    left_out: dict[str, list[Finding]] = defaultdict(list)
    for finding in sorted(check.findings, key=lambda one: one.case_id or ""):
        if finding.case_id is not None and finding.severity is Severity.ERROR:
            left_out[finding.case_id].append(finding)
    return (
        page_environment()
        .get_template("data_check.html.j2")
        .render(
            check=check,
            folder=Path(readable(check.folder.absolute())),
            created=datetime.fromtimestamp(check.created, timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            verdict=list(_state_verdict(check)),
            steps=list(_next_steps(check)),
            whole=[finding for finding in check.findings if finding.case_id is None],
            groups=groups,
            left_out=left_out,
            unknown_files=_list_unknown(check),
            used=[group for group in groups if group.severity is not Severity.ERROR],
            accepted=check.accepted,
            light=LIGHT,
            dark=DARK,
        )
    )


def _list_unknown(check: DataCheck) -> list[str]:
    """Name the files that were not recognized, below the folder; as many as fit on a page."""
    unknown = check.checked.cohort.unknown_files if check.checked else ()
    names = [readable(path.relative_to(check.folder)) for path in unknown[:_MOST_FILES]]
    return [*names, f"and {len(unknown) - _MOST_FILES} more"] if len(unknown) > _MOST_FILES else names


def _state_verdict(check: DataCheck) -> Iterator[str]:
    used, left_out = check.counts["used"], check.counts["left_out"]
    if check.verdict == "not_usable":
        yield "This folder can't be used yet."
    elif check.verdict == "good_without_labels":
        cases = counted(used, "case")
        yield f"Good, without labels: {cases} can be predicted; training and evaluation need labels."
    elif check.verdict == "too_few_to_train":
        yield f"Good, but too few to train on: {counted(used, 'case')}."
    elif left_out:
        are = "are" if left_out > 1 else "is"
        yield f"{left_out} of {counted(used + left_out, 'case')} {are} left out of training. Used: {used}."
    else:
        yield f"Ready: every case is used, {used} in all."
    if accepted := sum(len(group.cases) for group in check.accepted):
        yield f"Findings that the hospital looked at and accepted: {accepted}."
    yield from (f"{sentence}." for sentence in (check.sets, check.targets) if sentence)


def _next_steps(check: DataCheck) -> Iterator[str]:
    if check.verdict == "not_usable":
        yield "Fix what is said of the folder as a whole: nothing can be used before."
    if check.advice:
        yield f"{check.advice}."
    if check.counts["left_out"]:
        yield (
            "Fix the cases that are left out, or leave them as they are: training then uses the others, "
            "unless they are more than the site tolerates (max_left_out in local/privacy.json; half of the "
            "cases, where it isn't set)."
        )
    acceptable = {
        finding.severity
        for finding in check.findings
        if finding.case_id is not None and finding.code.acceptable
    }
    if Severity.ERROR in acceptable:
        yield f"Some are left out for what a hospital can accept after looking: {_HOW_TO_ACCEPT}."
    if check.verdict in ("cases_left_out", "not_usable"):
        yield "Run the same command again. Only files that have changed are read again."
        return
    if Severity.WARNING in acceptable:
        yield (
            "Look at the warnings below. Where one is right, correct the files; where it is not, accept it: "
            f"{_HOW_TO_ACCEPT}. The cases are used either way."
        )
    yield "With the site's startup kit: consilium check-site KIT checks policy, network and machine as well."
