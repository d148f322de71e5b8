"""The report of a training as one HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from consilium.learning.algorithms import withheld_by
from consilium.report.chart_style import DARK, LIGHT
from consilium.report.html import page_environment, upper_first
from consilium.report.privacy.protection import state_protection
from consilium.report.training.answers.answer import state_direction
from consilium.report.training.answers.answers import ReportAnswers
from consilium.report.training.curves import explain_missing_curves, list_curves, shows_scores
from consilium.report.training.gain_figure import arrange_gains
from consilium.report.training.gains import FEW_PATIENTS
from consilium.report.training.service_figure import arrange_service
from consilium.report.training.study import StudyReport
from consilium.report.training.tables import compare_models, compare_tested, cross_sites
from consilium.report.training.trust_figure import arrange_trust, has_validation
from consilium.report.training.verdict import state_verdict
from consilium.tasks.metrics import Metric, MetricSet


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
    curves: bytes | None,
    dark_curves: bytes | None,
    patients: Mapping[str, PatientView],
    undrawn: Sequence[str] = (),
    patient_gains: Mapping[str, Sequence[float]] | None = None,
    about_pictures: str = "",
) -> str:
    """Render the page.

    Names and reasons come from other hospitals' machines: the template escapes all that it is given.

    Args:
        report: The numbers.
        curves: PNG of the curves; None where there is none to draw, as `list_curves` says.
        dark_curves: The same for a dark page.
        patients: By hospital, one patient.
        undrawn: Hospitals whose patient could not be drawn.
        patient_gains: By hospital, what single patients gain: for a page that stays where they are.
        about_pictures: What must be known of the patients' pictures.
    """
    return (
        page_environment()
        .get_template("training.html.j2")
        .render(
            report=report,
            answers=ReportAnswers.of(report),
            handling=_state_handling(bool(patients or patient_gains)),
            protection=state_protection(report.settings),
            direction=state_direction(report.metrics.key_metric),
            verdict=state_verdict(report),
            gains=arrange_gains(report, patient_gains or {}),
            service=arrange_service(report),
            trust=arrange_trust(report),
            validates=has_validation(report),
            few_patients=FEW_PATIENTS,
            groups=compare_models(report),
            tested=compare_tested(report),
            matrix=cross_sites(report),
            curves=curves,
            dark_curves=dark_curves,
            charts=list_curves(report),
            missing_curves=explain_missing_curves(report),
            withheld=withheld_by(report.settings.get("algorithm")),
            patients=patients,
            undrawn=undrawn,
            settings=dict(_flatten(report.settings)),
            directions=_directions(report.metrics.shown),
            in_rounds=_in_rounds(report.metrics) if shows_scores(report) else {},
            about_pictures=about_pictures,
            seed=(report.settings.get("learning") or {}).get("seed"),
            components=sorted({name for one in _all_versions(report).values() for name in one}),
            versions=_all_versions(report),
            light=LIGHT,
            dark=DARK,
        )
    )


def _state_handling(has_patients: bool) -> str:
    """What a data protection officer asks first: whether single patients are in the page."""
    if has_patients:
        return (
            "This page shows single patients: keep it where they are. The PDF, SVG and CSV files beside it "
            "have only counts and means."
        )
    return (
        "This page shows no single patient: it has only counts and means, each of at least as many patients "
        "as its hospital demands."
    )


def _in_rounds(metrics: MetricSet) -> dict[str, list[Metric]]:
    """The metrics by which each round's model is measured, by title."""
    found = {
        title: [one for one in of_title if not one.final_only] for title, of_title in metrics.shown.items()
    }
    return {title: of_title for title, of_title in found.items() if of_title}


def _all_versions(report: StudyReport) -> dict[str, dict[str, str]]:
    return {"Server": report.versions.server, **report.versions.sites}


def _directions(shown: Mapping[str, Sequence[Metric]]) -> str:
    """`Higher Accuracy and lower Error are`."""
    parts = [
        f"{'higher' if found[0].higher_is_better else 'lower'} {title}" for title, found in shown.items()
    ]
    text = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    return f"{upper_first(text)} {'are' if len(parts) > 1 else 'is'}"


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
