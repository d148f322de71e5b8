"""The report as one HTML page that needs nothing else: no network, no script, no file beside it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from consilium.counts import count_text, counted, total_text
from consilium.report.codes import describe, fate, meaning, remedy
from consilium.report.training.curves import DARK, LIGHT
from consilium.report.training.gain_figure import arrange_gains
from consilium.report.training.gains import FEW_PATIENTS
from consilium.report.training.glance import list_basics
from consilium.report.training.study import StudyReport
from consilium.report.training.tables import compare_models, cross_sites
from consilium.report.training.verdict import state_headline, state_verdict
from consilium.tasks.metrics import Metric, MetricSet

_NOTHING = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"  # as wide as the plus


@dataclass(frozen=True)
class PatientView:
    """A patient's picture on a page.

    Attributes:
        screen: PNG for screens.
        printed: PNG for paper.
        text: What it shows, for who can't see it.
        score: The patient's key metric, as far as a single patient has one.
    """

    screen: bytes
    printed: bytes
    text: str
    score: float | None


def render_page(
    report: StudyReport,
    *,
    curves: bytes,
    dark_curves: bytes,
    patients: Mapping[str, PatientView],
    undrawn: Sequence[str] = (),
    patient_gains: Mapping[str, Sequence[float]] | None = None,
    about_pictures: str = "",
) -> str:
    """Render the page.

    Names and reasons come from other hospitals' machines: the template escapes all that it is given.

    Args:
        report: The numbers.
        curves: PNG of the curves.
        dark_curves: The same for a dark page.
        patients: By hospital, one patient.
        undrawn: Hospitals whose patient could not be drawn.
        patient_gains: By hospital, what single patients gain: for a page that stays where they are.
        about_pictures: What has to be known of the patients' pictures.
    """
    return (
        page_environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            headline=state_headline(report),
            verdict=state_verdict(report),
            basics=list_basics(report),
            gains=arrange_gains(report, patient_gains or {}),
            few_patients=FEW_PATIENTS,
            groups=compare_models(report),
            matrix=cross_sites(report),
            curves=curves,
            dark_curves=dark_curves,
            patients=patients,
            undrawn=undrawn,
            settings=dict(_flatten(report.settings)),
            directions=_directions(report.metrics.shown),
            in_rounds=_in_rounds(report.metrics),
            about_pictures=about_pictures,
            seed=report.settings.get("learning", {}).get("seed"),
            components=sorted({name for one in _all_versions(report).values() for name in one}),
            versions=_all_versions(report),
            light=LIGHT,
            dark=DARK,
        )
    )


def _in_rounds(metrics: MetricSet) -> dict[str, list[Metric]]:
    """The metrics by which each round's model is measured, by title."""
    found = {
        title: [one for one in of_title if not one.final_only] for title, of_title in metrics.shown.items()
    }
    return {title: of_title for title, of_title in found.items() if of_title}


def page_environment() -> Environment:
    """Return what renders the pages: it escapes all that it is given, and an unknown name is an error."""
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
        goodness=_goodness,
        lower_first=_lower_first,
        upper_first=_upper_first,
        tick=_tick,
        duration=_duration,
        size=_size,
        png=_png,
        describe=describe,
        fate=fate,
        meaning=meaning,
        remedy=remedy,
        count_text=count_text,
        counted=counted,
        total_text=total_text,
        sentence=_sentence,
    )
    return environment


def _all_versions(report: StudyReport) -> dict[str, dict[str, str]]:
    return {"Server": report.versions.server, **report.versions.sites}


def _number(value: float | None, digits: int = 3) -> str:
    return _NOTHING if value is None else f"{value:.{digits}f}"


def _signed(value: float | None, digits: int = 3) -> str:
    """So many digits with a sign; a zero has none."""
    if value is None:
        return ""
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}".replace("-", _MINUS) if rounded else f"{0:.{digits}f}"


def _goodness(value: float | None, metric: Metric) -> float:
    """How good a value is, from 0 to 1: the color of a cell."""
    if value is None:
        return 0.0
    worst, best = (metric.low, metric.high) if metric.higher_is_better else (metric.high, metric.low)
    return (value - worst) / (best - worst)


def _lower_first(text: str) -> str:
    """The text within a sentence; abbreviations stay as they are."""
    return text if text[:2].isupper() else f"{text[:1].lower()}{text[1:]}"


def _upper_first(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _directions(shown: Mapping[str, Sequence[Metric]]) -> str:
    """`Higher Dice and lower HD95 are`."""
    parts = [
        f"{'higher' if found[0].higher_is_better else 'lower'} {title}" for title, found in shown.items()
    ]
    text = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    return f"{_upper_first(text)} {'are' if len(parts) > 1 else 'is'}"


def _tick(value: float) -> str:
    """A value of an axis, without zeros at its end: `+0.02`."""
    return f"{round(value, 6):+g}".replace("-", _MINUS) if round(value, 6) else "0"


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


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
