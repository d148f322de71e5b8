"""Counts with their nouns, for people: `1 case`, `2 cases`, `few cases`."""

from __future__ import annotations


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
