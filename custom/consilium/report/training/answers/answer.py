"""An answer of the report, and the words that answers share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from consilium.counts import counted
from consilium.tasks.metrics import Metric

MOST_NAMES: Final = 3
"""Names in one group of a sentence; of more it has their number, and the figure below it has the names."""

LEVEL: Final = 5
"""Differences below this many of the last digit shown are none: they round away before it."""

_MINUS: Final = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Answer:
    """One question with its answer.

    Attributes:
        question: As people ask it.
        sentence: The answer, with its numbers.
        facts: What else is known of this study; nothing where the sentence is all.
        hint: How the answer is easily misread.
    """

    question: str
    sentence: str
    facts: tuple[str, ...] = ()
    hint: str = ""


def join(parts: Iterable[str]) -> str:
    """Return parts as a list in a sentence.

    Example:
        >>> join(["aster", "birch", "cedar"]), join(["aster"])
        ('aster, birch and cedar', 'aster')
    """
    found = list(parts)
    return " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)


def list_sites(sites: Sequence[str], *, most: int = MOST_NAMES) -> str:
    """Return hospitals by name, or their number where there are more than `most`.

    Example:
        >>> list_sites(["aster", "birch", "cedar"]), list_sites(["aster", "birch"], most=1)
        ('aster, birch and cedar', '2 hospitals')
    """
    return counted(len(sites), "hospital") if len(sites) > most else join(sites)


def signed(metric: Metric, value: float) -> str:
    """Return a difference with its sign; one that rounds to zero has none.

    Example:
        >>> signed(Metric(name="score", title="Score"), 0.0131)
        '+0.013'
    """
    rounded = round(value, metric.digits)
    return metric.gain_text(rounded).replace("-", _MINUS) if rounded else metric.text(0.0)


def with_unit(metric: Metric, value: float) -> str:
    """Return a value with its unit.

    Example:
        >>> with_unit(Metric(name="error", title="Error", unit="mm", digits=1), 4.0)
        '4.0 mm'
    """
    return f"{metric.text(value)} {metric.unit}".rstrip().replace("-", _MINUS)


def is_level(metric: Metric, difference: float) -> bool:
    """Return whether two values are the same, as far as digits are shown."""
    return abs(difference) < LEVEL * 10.0**-metric.digits


def state_direction(metric: Metric) -> str:
    """Return how a metric's values are read.

    Example:
        >>> state_direction(Metric(name="score", title="Score"))
        '0 to 1, higher is better'
    """
    better = "higher" if metric.higher_is_better else "lower"
    return f"{metric.low:g} to {metric.high:g}{metric.unit and ' '}{metric.unit}, {better} is better".replace(
        "-", _MINUS
    )
