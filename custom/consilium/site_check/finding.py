"""Findings of a site check, each with its remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypedDict

from typing_extensions import Unpack


class Status(str, Enum):
    """Status of a check. The values are stable, as they are in the JSON output."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class SiteFinding:
    """The outcome of one check.

    `seen`, `remedy` and `data` may be mailed around: they hold no patient's id, no path outside the kit, and
    no secret.

    Attributes:
        id: Stable name, `topic.check`.
        title: What is checked, for people.
        status: How it ended.
        seen: What was seen, or why the check was skipped.
        remedy: The command or edit that fixes it; None unless it failed or warns.
        data: Numbers behind it, for machines; JSON values.
        details: Lines for the person at this machine, which may name folders and files.
        cases: Lines that name patients' cases; shown on request only.
    """

    id: str
    title: str
    status: Status
    seen: str
    remedy: str | None = None
    data: Mapping[str, object] = field(default_factory=dict)
    details: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()


class _Evidence(TypedDict, total=False):
    """What a finding that needs somebody's attention may hold beside its text, as in `SiteFinding`."""

    data: Mapping[str, object]
    details: Sequence[str]
    cases: Sequence[str]


@dataclass(frozen=True)
class SiteCheck:
    """A check, which makes its findings.

    Attributes:
        id: Stable name, `topic.check`.
        title: What is checked, for people.
    """

    id: str
    title: str

    def ok(self, seen: str, *, data: Mapping[str, object] | None = None) -> SiteFinding:
        """Return that all is well."""
        return SiteFinding(self.id, self.title, Status.OK, seen, data=data or {})

    def skipped(self, reason: str) -> SiteFinding:
        """Return that it was not checked, and why."""
        return SiteFinding(self.id, self.title, Status.SKIPPED, reason)

    def warning(self, seen: str, remedy: str, **evidence: Unpack[_Evidence]) -> SiteFinding:
        """Return that the site can join, but somebody should look at this."""
        return self._problem(Status.WARNING, seen, remedy, evidence)

    def failed(self, seen: str, remedy: str, **evidence: Unpack[_Evidence]) -> SiteFinding:
        """Return that the site can't join until this is fixed."""
        return self._problem(Status.FAILED, seen, remedy, evidence)

    def _problem(self, status: Status, seen: str, remedy: str, evidence: _Evidence) -> SiteFinding:
        details, cases = tuple(evidence.get("details", ())), tuple(evidence.get("cases", ()))
        data = evidence.get("data", {})
        return SiteFinding(self.id, self.title, status, seen, remedy, data, details, cases)
