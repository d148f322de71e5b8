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

WITHOUT_ONE: Final = "left-out"
"""Block of the runs in which one hospital only evaluated; the others are those of `compare_all`."""

_FEW: Final = 6
"""Hospitals whose gains have a column each."""

_MARKERS: Final = "osD^v<>pPX*h"
_WRITTEN: Final = ": written by benchmarks/drift.py --write -->"
_END: Final = "<!-- end of what benchmarks/drift.py writes -->"


def begin(block: str) -> str:
    """Return the line of a page after which a block goes.

    Example:
        >>> begin("mild")
        '<!-- mild: written by benchmarks/drift.py --write -->'
    """
    return f"<!-- {block}{_WRITTEN}"


def write_results(out: Path, outcomes: Mapping[Run, Outcome]) -> str:
    """Write tables, numbers and plots below a folder; returns the tables."""
    blocks = compare_all(outcomes)
    text = "\n".join(markdown(blocks, outcomes).values())
    numbers = {run.name: site_means(done.patients) for run, done in outcomes.items()}
    write_atomically(out / "result.md", text.encode())
    write_atomically(out / "result.json", json.dumps(numbers, indent=1).encode())
    for block, tables in blocks.items():
        draw(tables, out / f"{block}.svg")
    return text


def write_page(page: Path, outcomes: Mapping[Run, Outcome]) -> list[str]:
    """Put tables into the blocks that a page has for them, and plots beside it; returns the blocks.

    Blocks of which there is no run stay as they are, so a page may be filled from several folders.

    Raises:
        ConfigurationError: The page has no block for any of the tables, or one without an end.
    """
    text, blocks = page.read_text(), compare_all(outcomes)
    written = []
    for block, tables in markdown(blocks, outcomes).items():
        before, mark, rest = text.partition(begin(block))
        old, end, after = rest.partition(_END)
        if mark and (not end or _WRITTEN in old):
            raise ConfigurationError(f"{page} has no line {_END} after {mark}")
        if mark:
            text = f"{before}{mark}\n\n{tables}\n{end}{after}"
            written.append(block)
    if not written:
        marks = ", ".join(map(begin, markdown(blocks, outcomes)))
        raise ConfigurationError(f"{page} has none of the lines after which the tables go: {marks}")
    write_atomically(page, text.encode())
    for block in blocks.keys() & {*written}:
        draw(blocks[block], page.with_name(f"{page.stem}-{block}.svg"))
    return written


def markdown(
    blocks: Mapping[str, Mapping[str, Sequence[Row]]], outcomes: Mapping[Run, Outcome]
) -> dict[str, str]:
    """Return the tables of each block."""
    left_out = _left_out(outcomes)
    return {
        **{
            block: "\n".join(_rows(title, rows) for title, rows in tables.items())
            for block, tables in blocks.items()
        },
        **({WITHOUT_ONE: left_out} if left_out else {}),
    }


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
    listed = len(sites) <= _FEW
    gained = [f"gain of {site}" for site in sites] if listed else ["gain over local-only", "not above it"]
    costs = [
        ("", *gained, "rounds to 0.9 of pooled", "MB a round", "CPU s"),
        *(
            (
                row.title,
                *([_difference(row.gains.get(site)) for site in sites] if listed else _gains(row)),
                ", ".join("never" if number is None else str(number) for number in row.rounds),
                "" if row.bytes_a_round is None else f"{row.bytes_a_round / 1e6:.1f}",
                "" if row.cpu_seconds is None else f"{row.cpu_seconds:.0f}",
            )
            for row in rows
            if row.title != "local-only"
        ),
    ]
    return f"### {title}\n\n{table(scores)}\n{table(costs)}"


def _gains(row: Row) -> tuple[str, str]:
    """The least and the largest gain of many hospitals, and those that gain nothing, in bold if clearly."""
    if not row.gains:
        return "", ""
    values = [gain.value for gain in row.gains.values()]
    behind = [f"**{site}**" if gain.is_clear else site for site, gain in row.gains.items() if gain.value <= 0]
    return f"{min(values):+.3f} to {max(values):+.3f}", ", ".join(behind) or "none"


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
    height = 1.2 + 0.32 * max(len(rows) for rows in tables.values())
    with mpl.rc_context({"svg.hashsalt": "drift", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(4.6 * len(tables) + 2, height), layout="constrained")
        panels = figure.subplots(1, len(tables), squeeze=False)[0]
        for axes, (title, rows) in zip(panels, tables.items(), strict=True):
            for place, site in enumerate(rows[0].sites):
                values = [row.sites[site] for row in rows]
                axes.plot(values, range(len(rows)), _MARKERS[place % len(_MARKERS)], markersize=5, label=site)
            axes.plot([row.mean for row in rows], range(len(rows)), "k|", markersize=12, label="mean")
            axes.set_yticks(range(len(rows)), [row.title for row in rows])
            axes.invert_yaxis()
            axes.grid(axis="x", alpha=0.3)
            axes.set_xlabel("Dice on test patients")
            axes.set_title(title)
        panels[0].legend(loc="best", fontsize=8)
        figure.savefig(path, format="svg", metadata={"Date": None})
