"""Meanings of the codes that sites report; another version or task may have other codes."""

from __future__ import annotations

from typing import Final

from consilium.data.codes import find_code
from consilium.data.problem_code import Severity
from consilium.records.bounds import OTHER_CODE

_MEANING = {
    Severity.ERROR: "left out",
    Severity.WARNING: "used; have a look",
    Severity.INFO: "used; good to know",
}


def remedy(code: str) -> str:
    """Return the remedy for the site."""
    problem = find_code(code)
    return problem.remedy if problem else "See the site's own log."


def describe(code: str) -> str:
    """Describe a finding, with its code, by which the documentation and the site's files name it."""
    problem = find_code(code)
    if problem is None:
        return "Something that this version of consilium has no code for" if code == OTHER_CODE else code
    return f"{problem.summary} ({code})"


LEFT_OUT: Final = _MEANING[Severity.ERROR]
ACCEPTED: Final = "used; accepted by the hospital"


def use_of_cases(severity: Severity) -> str:
    """Return whether cases with a finding of that severity are used."""
    return _MEANING[severity]


def meaning(code: str) -> str:
    """Return whether cases with this code are used, unless statistics say clearly otherwise."""
    problem = find_code(code)
    return _MEANING[problem.severity] if problem else "see the site's own log"
