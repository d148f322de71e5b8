"""Base of all HTML pages, each a single file without scripts or network access."""

from __future__ import annotations

from base64 import b64encode
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from consilium.counts import count_text, counted, total_text
from consilium.report.code_texts import describe, meaning, remedy, use_of_cases
from consilium.tasks.metrics import Metric

_NOTHING = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"  # as wide as the plus


@cache
def page_environment() -> Environment:
    """Return the template environment, which escapes all values and rejects unknown names.

    There is one a process, so that each template is compiled once.
    """
    environment = Environment(
        loader=PackageLoader("consilium.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=_number,
        signed=_signed,
        goodness=_relative_score,
        lower_first=_lower_first,
        upper_first=upper_first,
        tick=_tick,
        plain_tick=_plain_tick,
        duration=_duration,
        size=_size,
        png=_png,
        svg=_svg,
        describe=describe,
        use_of_cases=use_of_cases,
        meaning=meaning,
        remedy=remedy,
        count_text=count_text,
        counted=counted,
        total_text=total_text,
        sentence=_sentence,
    )
    return environment


def _number(value: float | None, digits: int = 3) -> str:
    return _NOTHING if value is None else f"{value:.{digits}f}"


def _signed(value: float | None, digits: int = 3) -> str:
    """So many digits with a sign; a zero has none."""
    if value is None:
        return ""
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}".replace("-", _MINUS) if rounded else f"{0:.{digits}f}"


def _relative_score(value: float | None, metric: Metric) -> float:
    """How good a value is, from 0 to 1: the color of a cell."""
    if value is None:
        return 0.0
    worst, best = (metric.low, metric.high) if metric.higher_is_better else (metric.high, metric.low)
    return (value - worst) / (best - worst)


def _lower_first(text: str) -> str:
    """The text within a sentence; abbreviations stay as they are."""
    return text if text[:2].isupper() else f"{text[:1].lower()}{text[1:]}"


def upper_first(text: str) -> str:
    """Return the text with a capital."""
    return f"{text[:1].upper()}{text[1:]}"


def _tick(value: float) -> str:
    """A value of an axis, without zeros at its end: `+0.02`."""
    return f"{round(value, 6):+g}".replace("-", _MINUS) if round(value, 6) else "0"


def _plain_tick(value: float) -> str:
    """A value of an axis that is no difference: `0.2`."""
    return f"{round(value, 6):g}".replace("-", _MINUS)


def _duration(seconds: float | None) -> str:
    """For example `4.2 s`, `3 min 20 s` or `2 h 5 min`."""
    if seconds is None:
        return _NOTHING
    if seconds < 60:
        return f"{seconds:.1f} s".replace("-", _MINUS)
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _size(count: int) -> str:
    """Bytes for people, in powers of ten."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"


def _sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _png(content: bytes) -> str:
    return f"data:image/png;base64,{b64encode(content).decode()}"


def _svg(content: str) -> str:
    """A drawing as an image: nothing in it runs, whatever its texts are."""
    return f"data:image/svg+xml;base64,{b64encode(content.encode()).decode()}"
