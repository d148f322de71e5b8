"""Report of a study: numbers, pictures, an HTML page, one page as PDF, and figures for papers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from consilium.data.files import private_folder, write_atomically
from consilium.records.federation import BaselineRecord, FederationRecord
from consilium.report.chart_style import DARK, LIGHT
from consilium.report.site_combiner import installed_task
from consilium.report.training.curves import draw_curves, list_curves
from consilium.report.training.one_page import render_summary
from consilium.report.training.page import PatientView, render_page
from consilium.report.training.paper_figures import write_figures
from consilium.report.training.study import StudyReport
from consilium.report.training.summary import summarize_study

if TYPE_CHECKING:
    from consilium.report.training.patients import PatientPicture

REPORT_FILE = "report.json"
"""Name of the numbers in the report's folder."""

PAGE_FILE = "index.html"
"""Name of the page in the report's folder."""

SUMMARY_FILE = "summary.pdf"
"""Name of the three answers on one page, in the report's folder."""


def build_report(
    folder: Path,
    federation: FederationRecord,
    *,
    baselines: BaselineRecord | None,
    seconds: Mapping[str, float],
    patients: Mapping[str, PatientPicture | None],
) -> Path:
    """Write `report.json`, the curves (if any), the page, `summary.pdf` and `figures/` into a folder.

    The folder is made where needed. All is readable by this account only: pictures show patients. What single
    patients gain is in the page alone, and only where `baselines` of a simulation have it: a job's record has
    nothing of a patient.

    Args:
        folder: Where to.
        federation: What the server wrote down.
        baselines: The models to compare with, if there are any.
        seconds: See `summarize_study`.
        patients: A rendered picture for each hospital that shows one; the page embeds it. None where it
            could not be drawn; the page says so.

    Returns:
        The page, `index.html`.

    Raises:
        ValidationError: If a score is not finite or `seconds` has an unknown name.
        OSError: If a picture can't be read or the folder can't be written.
    """
    private_folder(folder, ours=False)
    report = summarize_study(federation, baselines=baselines, seconds=seconds)
    write_atomically(folder / REPORT_FILE, report.to_json().encode(), durable=False)
    curves, dark_curves = _draw_curves(report, folder)
    undrawn = [site for site, picture in sorted(patients.items()) if picture is None]
    html = render_page(
        report,
        curves=curves,
        dark_curves=dark_curves,
        patients={
            site: PatientView(
                screen=picture.path.read_bytes(),
                printed=picture.printed.read_bytes(),
                text=picture.text,
                score=picture.score,
            )
            for site, picture in sorted(patients.items())
            if picture is not None
        },
        undrawn=undrawn,
        about_pictures=_about_pictures(federation.task),
        patient_gains={} if baselines is None else baselines.patient_gains,
    )
    page = folder / PAGE_FILE
    write_atomically(page, html.encode(), durable=False)
    write_figures(folder, report)
    write_atomically(folder / SUMMARY_FILE, render_summary(report), durable=False)
    return page


def _draw_curves(report: StudyReport, folder: Path) -> list[bytes | None]:
    """Write the curves for light and dark pages; of a job without any, those of an earlier report go."""
    drawn: list[bytes | None] = []
    for name, palette in (("curves.png", LIGHT), ("curves_dark.png", DARK)):
        path = folder / name
        if list_curves(report):
            draw_curves(report, path, palette)
            drawn.append(path.read_bytes())
        else:
            path.unlink(missing_ok=True)
            drawn.append(None)
    return drawn


def _about_pictures(task: str) -> str:
    known = installed_task(task)
    return "" if known is None or known.presentation is None else known.presentation.about
