"""Findings of one kind, put together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from consilium.data.checks import Finding, Severity
from consilium.data.problem_code import ProblemCode

_ORDER = list(Severity)


@dataclass(frozen=True)
class FindingGroup:
    """All findings of one code and severity.

    Args:
        code: The code.
        severity: What they mean for their cases.
        findings: What was found, by case.
    """

    code: ProblemCode
    severity: Severity
    findings: tuple[Finding, ...]

    @property
    def cases(self) -> list[str]:
        """The cases that it was found in, each once."""
        return list(dict.fromkeys(one.case_id for one in self.findings if one.case_id is not None))

    @property
    def images(self) -> dict[str, int]:
        """In how many cases each image is concerned, by its name; empty for what is not about an image."""
        seen = {(one.image, one.case_id) for one in self.findings if one.image is not None}
        return dict(sorted(Counter(str(name) for name, _ in seen).items()))

    def describe_images(self, total: int) -> str:
        """Which images are concerned in how many of all cases: "left, right in 6 of 6"; "" for none."""
        by_count: dict[int, list[str]] = defaultdict(list)
        for name, count in self.images.items():
            by_count[count].append(name)
        parts = [f"{', '.join(names)} in {count} of {total}" for count, names in sorted(by_count.items())]
        return "; ".join(reversed(parts))


def group_findings(findings: Iterable[Finding]) -> Sequence[FindingGroup]:
    """Put findings of one code and severity together: errors first, then what occurs most."""
    by_kind: dict[tuple[Severity, ProblemCode], list[Finding]] = defaultdict(list)
    for finding in findings:
        by_kind[finding.severity, finding.code].append(finding)
    groups = (FindingGroup(code, severity, tuple(found)) for (severity, code), found in by_kind.items())
    return sorted(groups, key=lambda one: (_ORDER.index(one.severity), -len(one.cases), one.code.value))
