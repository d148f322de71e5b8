"""The officer's page as a self-contained HTML file."""

from __future__ import annotations

from consilium.report.chart_style import DARK, LIGHT
from consilium.report.html import page_environment
from consilium.report.privacy.statement import PrivacyStatement

NATURES = {
    "training": "a training",
    "evaluation": "an evaluation of models",
    "statistics": "statistics",
    "readiness": "a readiness check",
}
"""Kind of job, as it is called on the page."""


def basis(statement: PrivacyStatement) -> str:
    """Return, in a sentence, what a page is made from."""
    job = (
        "the job's settings" if statement.source == "settings" else "the job's record, which its server wrote"
    )
    site = f" and the settings of {statement.site}" if statement.site else ""
    own = "" if statement.site else "; minimums are the defaults, not those of a hospital"
    return f"Made from {job}{site} by Consilium {statement.consilium}{own}."


def render_privacy(statement: PrivacyStatement) -> str:
    """Render the page; names in it may come from other machines, and the template escapes them."""
    return (
        page_environment()
        .get_template("privacy.html.j2")
        .render(
            statement=statement,
            nature=NATURES[statement.kind],
            basis=basis(statement),
            light=LIGHT,
            dark=DARK,
        )
    )
