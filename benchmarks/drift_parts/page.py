"""Tables and plot of the comparison, and their place in a page of the documentation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Final

import matplotlib as mpl
from matplotlib.figure import Figure

from consilium.data.files import write_atomically
from consilium.errors import ConfigurationError
from drift_parts.comparison import Difference, Row, compare_all, site_means
from drift_parts.outcome import Outcome
from drift_parts.plan import Run

BEGIN: Final = "<!-- written by benchmarks/drift.py --write -->"
END: Final = "<!-- end of what benchmarks/drift.py writes -->"
PLOT: Final = "drift.svg"


def write_results(out: Path, outcomes: Mapping[Run, Outcome]) -> str:
    """Write tables, numbers and plot below a folder; returns the tables."""
    tables = compare_all(outcomes)
    text = markdown(tables, outcomes)
    numbers = {run.name: site_means(done.patients) for run, done in outcomes.items()}
    write_atomically(out / "result.md", text.encode())
    write_atomically(out / "result.json", json.dumps(numbers, indent=1).encode())
    draw(tables, out / PLOT)
    return text


def write_page(page: Path, outcomes: Mapping[Run, Outcome]) -> None:
    """Put the tables between the marks of a page, and the plot beside the page, under its name.

    Raises:
        ConfigurationError: The page has no marks.
    """
    text = page.read_text()
    if BEGIN not in text or END not in text:
        raise ConfigurationError(f"{page} has no lines {BEGIN} and {END}, between which the tables go")
    tables = compare_all(outcomes)
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    written = f"{before}{BEGIN}\n\n{markdown(tables, outcomes)}\n{END}{after}"
    write_atomically(page, written.encode())
    draw(tables, page.with_suffix(".svg"))


def markdown(tables: Mapping[str, Sequence[Row]], outcomes: Mapping[Run, Outcome]) -> str:
    """Return all tables."""
    parts = [_rows(title, rows) for title, rows in tables.items() if rows]
    left_out = _left_out(outcomes)
    return "\n".join([*parts, *([left_out] if left_out else [])])


def _rows(title: str, rows: Sequence[Row]) -> str:
    sites = list(rows[0].sites)
    scores = [
        ("", *sites, "mean", "worst", "mean, compared", "worst, compared"),
        *(
            (
                row.title,
                *(f"{row.sites[site]:.3f}" for site in sites),
                f"{row.mean:.3f}",
                f"{row.worst[1]:.3f}",
                _difference(row.better),
                _difference(row.better_at_worst),
            )
            for row in rows
        ),
    ]
    costs = [
        ("", *(f"gain of {site}" for site in sites), "rounds to 0.9 of pooled", "MB a round", "CPU s"),
        *(
            (
                row.title,
                *(_difference(row.gains.get(site)) for site in sites),
                ", ".join("never" if number is None else str(number) for number in row.rounds),
                "" if row.bytes_a_round is None else f"{row.bytes_a_round / 1e6:.1f}",
                "" if row.cpu_seconds is None else f"{row.cpu_seconds:.0f}",
            )
            for row in rows
            if row.title != "local-only"
        ),
    ]
    return f"### {title}\n\n{table(scores)}\n{table(costs)}"


def _difference(difference: Difference | None) -> str:
    if difference is None:
        return ""
    return f"**{difference}**" if difference.is_clear else str(difference)


def _left_out(outcomes: Mapping[Run, Outcome]) -> str:
    rows = []
    for run, done in outcomes.items():
        if run.left_out is None:
            continue
        whole = outcomes.get(Run(run.cohort, run.seed, run.algorithm))
        seen = "" if whole is None else f"{site_means(whole.patients)[run.left_out]:.3f}"
        absent = fmean(done.patients[run.left_out].values())
        rows.append((run.cohort, str(run.seed), run.left_out, f"{absent:.3f}", seen))
    if not rows:
        return ""
    head = ("cohort", "seed", "left out", "Dice there", "Dice there where it trained, too")
    return f"### One hospital left out of training\n\n{table([head, *rows])}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a table in Markdown, the first of them its head.

    Example:
        >>> print(table([("", "Dice"), ("pooled", "0.9")]), end="")
        |  | Dice |
        |---|---|
        | pooled | 0.9 |
    """
    head, *body = [f"| {' | '.join(row)} |\n" for row in rows]
    return head + "|" + "---|" * len(rows[0]) + "\n" + "".join(body)


def draw(tables: Mapping[str, Sequence[Row]], path: Path) -> None:
    """Draw the Dice of each hospital by each algorithm, one panel a table, as SVG."""
    shown = {title: rows for title, rows in tables.items() if rows}
    if not shown:
        return
    height = 1.2 + 0.32 * max(len(rows) for rows in shown.values())
    with mpl.rc_context({"svg.hashsalt": "drift", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(4.6 * len(shown) + 2, height), layout="constrained")
        panels = figure.subplots(1, len(shown), squeeze=False)[0]
        for axes, (title, rows) in zip(panels, shown.items(), strict=True):
            for place, site in enumerate(rows[0].sites):
                values = [row.sites[site] for row in rows]
                axes.plot(values, range(len(rows)), "osD^v"[place % 5], markersize=5, label=site)
            axes.plot([row.mean for row in rows], range(len(rows)), "k|", markersize=12, label="mean")
            axes.set_yticks(range(len(rows)), [row.title for row in rows])
            axes.invert_yaxis()
            axes.grid(axis="x", alpha=0.3)
            axes.set_xlabel("Dice on test patients")
            axes.set_title(title)
        panels[0].legend(loc="best", fontsize=8)
        figure.savefig(path, format="svg", metadata={"Date": None})
