"""What was found in a hospital's folder, as JSON and as one HTML page. Both are for the hospital itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from consilium.data.checks import CheckedCohort, Finding, ProblemCode, Severity
from consilium.report.curves import DARK, LIGHT
from consilium.report.page import page_environment

FORMAT: Final = 1
"""Raised when the meaning of a key in `DataCheck.as_json` changes."""

Verdict = Literal["ready", "cases_left_out", "not_usable"]

_VERDICTS: dict[Verdict, str] = {
    "ready": "Ready: every case is used.",
    "cases_left_out": "Some cases are left out; the others are used.",
    "not_usable": "This folder can't be used yet.",
}
_ORDER = list(Severity)


@dataclass(frozen=True)
class FindingGroup:
    """All findings of one code.

    Args:
        code: The code.
        findings: What was found, by case.
    """

    code: ProblemCode
    findings: tuple[Finding, ...]

    @property
    def cases(self) -> list[str]:
        """The cases that it was found in, each once."""
        return list(dict.fromkeys(one.case_id for one in self.findings if one.case_id is not None))


@dataclass(frozen=True)
class DataCheck:
    """What was found in a folder.

    Args:
        job: The job that grid and disk were judged by.
        findings: Everything that was found, of the folder and of its cases.
        checked: The cases; None where the folder as a whole can't be used.
    """

    job: str
    findings: tuple[Finding, ...]
    checked: CheckedCohort | None

    @property
    def verdict(self) -> Verdict:
        """Whether the folder is ready, ready but for some cases, or not usable."""
        errors = [one for one in self.findings if one.severity is Severity.ERROR]
        if any(one.case_id is None for one in errors):
            return "not_usable"
        return "cases_left_out" if errors else "ready"

    @property
    def groups(self) -> Sequence[FindingGroup]:
        """Findings by code: errors first, then what occurs most."""
        by_code: dict[ProblemCode, list[Finding]] = defaultdict(list)
        for finding in self.findings:
            by_code[finding.code].append(finding)
        groups = (FindingGroup(code, tuple(found)) for code, found in by_code.items())
        return sorted(
            groups, key=lambda one: (_ORDER.index(one.code.severity), -len(one.cases), one.code.value)
        )

    @property
    def counts(self) -> dict[str, int]:
        """How many cases are used, used and labeled, and left out."""
        if self.checked is None:
            return {"used": 0, "labeled": 0, "left_out": 0}
        cohort = self.checked.cohort
        return {
            "used": len(cohort.cases),
            "labeled": sum(case.label is not None for case in cohort.cases),
            "left_out": len({problem.case_id for problem in cohort.problems}),
        }

    def as_json(self, *, cases: bool = False) -> dict[str, Any]:
        """Return what was found as JSON values.

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
            "label_convention": cohort.convention.value if cohort and cohort.convention else None,
            "cases": self.counts,
            "findings": [
                {
                    "code": group.code.value,
                    "severity": group.code.severity.value,
                    "summary": group.code.summary,
                    "cases": len(group.cases),
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
    template = page_environment().get_template("data_check.html.j2")
    return template.render(check=check, verdict=_VERDICTS[check.verdict], light=LIGHT, dark=DARK)
