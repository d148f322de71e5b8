"""Counts as text: `1 case`, `2 cases`, and `few cases` below the number that could identify patients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

Count = int | None
"""A number of cases; None where there are some, of too few patients for the number to leave the site."""


def counted(number: float | None, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun, in the singular where there is one.

    Args:
        number: How many; None for a count too small to leave its site.
        noun: In the singular, with any adjective before it: `labeled case`.
        plural: Where it is not the singular with an `s`: `processes`, `entries`.

    Example:
        >>> counted(1, "case"), counted(0, "training process", "training processes"), counted(None, "case")
        ('1 case', '0 training processes', 'few cases')
    """
    amount = "few" if number is None else f"{number}" if isinstance(number, int) else f"{number:g}"
    return f"{amount} {noun if amount == '1' else plural or f'{noun}s'}"


def agree(number: float, singular: str, plural: str) -> str:
    """Return the verb that agrees with a count.

    Example:
        >>> agree(1, "is", "are"), agree(3, "lies", "lie")
        ('is', 'lie')
    """
    return singular if number == 1 else plural


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


class OfPatient(Protocol):
    """A case, or anything else that belongs to one patient."""

    @property
    def patient(self) -> str:
        """The patient's id. Never leaves the site."""


def count_patients(cases: Iterable[OfPatient]) -> int:
    """Return of how many different patients cases are."""
    return len({case.patient for case in cases})
