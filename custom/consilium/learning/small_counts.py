"""Small numbers of patients stay at their site: a count of one or two can say who is meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

Count = int | None
"""A number of cases; None where it is more than 0 and less than the site's minimum, and so never left it."""


def suppress(counts: Mapping[str, int], minimum: int) -> dict[str, Count]:
    """Take the counts that are too small to leave a site out of what it says.

    Args:
        counts: Number of cases by code.
        minimum: The site's: smaller numbers than this become None. 0 says nothing about a patient and stays.
    """
    return {code: None if 0 < count < minimum else count for code, count in counts.items()}


def count_text(count: Count) -> str:
    """Return a number of cases for people: `few` where it never left its site."""
    return "few" if count is None else str(count)


def list_counts(counts: Mapping[str, Count]) -> str:
    """Return counts by code in one line, for example `3 truncated, few not_3d`."""
    return ", ".join(f"{count_text(count)} {code}" for code, count in counts.items())


def total_text(counts: Mapping[str, Count]) -> str:
    """Return the sum of counts for people: `3`, `few`, or `3 or more` where some never left their site."""
    known = sum(count for count in counts.values() if count is not None)
    if None not in counts.values():
        return str(known)
    return f"{known} or more" if known else "few"


class _OfPatient(Protocol):
    @property
    def patient(self) -> str: ...


def too_few(groups: Iterable[Iterable[_OfPatient]], minimum: int) -> str | None:
    """Say why nothing may be told about groups of cases: one holds fewer patients than the minimum.

    Training tells how many cases it trained on, as the aggregate is weighted by it, how many it validated on,
    and means over each. All of that is about the patients of one group.

    Args:
        groups: Training and validation cases; an empty group says nothing about anybody.
        minimum: The site's.

    Returns:
        The reason, without any count; None where all groups are large enough.
    """
    sizes = (len({case.patient for case in group}) for group in groups)
    if all(size == 0 or size >= minimum for size in sizes):
        return None
    return (
        f"it has fewer than {minimum} patients to train on, or fewer to validate on, and its min_count lets "
        "nothing be told about so few"
    )
