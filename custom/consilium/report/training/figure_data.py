"""Numbers of the report's figures as CSV, for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

from consilium.counts import Count
from consilium.report.training.answers.service import scores_by_site
from consilium.report.training.curves import losses_by_round, mean_by_round
from consilium.report.training.participation import list_participation
from consilium.report.training.study import StudyReport
from consilium.report.training.trust_figure import has_validation

_Cell = str | float | int | None

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a text must not start with: a spreadsheet would compute it."""


def gain_csv(report: StudyReport) -> str:
    """Return each hospital's gain with its interval; empty cells where there is none."""
    key = report.metrics.key_metric
    header = ("hospital", "metric", "patients", "set", "standing", "gain", "low", "high", "why")
    return _write(
        header,
        (
            (
                site,
                key.name,
                gain.patients,
                report.evaluated_on,
                gain.standing,
                gain.mean,
                gain.low,
                gain.high,
                gain.why,
            )
            for site, one in report.sites.items()
            if (gain := one.gain)
        ),
    )


def service_csv(report: StudyReport) -> str:
    """Return each hospital's scores of the final model, the worst hospital first."""
    metrics = [one for found in report.metrics.shown.values() for one in found]
    order = [*scores_by_site(report), *(site for site in report.sites if site not in scores_by_site(report))]
    return _write(
        ("hospital", "set", "cases", "metric", "target", "unit", "value"),
        (
            (
                site,
                report.evaluated_on,
                report.sites[site].scored_cases,
                one.name,
                report.metrics.targets.get(one.target or ""),
                one.unit,
                (report.sites[site].global_ or {}).get(one.name),
            )
            for site in order
            for one in metrics
        ),
    )


def trust_csv(report: StudyReport) -> str:
    """Return each hospital's cases and its part in the rounds."""
    sets = ("training_cases", *(["validation_cases"] if has_validation(report) else []))
    header = ("hospital", "role", *sets, f"{report.evaluated_on}_cases", "left_out_cases")
    rounds = ("rounds", "rounds_trained", "updates_rejected", "rounds_missed")
    parts = {one.site: one for one in list_participation(report)}
    return _write(
        (*header, *rounds),
        (
            (
                site,
                one.role,
                one.train_cases,
                *([one.validation_cases] if has_validation(report) else []),
                one.scored_cases,
                _total(one.left_out.values()),
                len(report.rounds),
                parts[site].trained,
                parts[site].rejected,
                parts[site].missed,
            )
            for site, one in report.sites.items()
        ),
    )


def curves_csv(report: StudyReport) -> str:
    """Return the key metric and the training loss by round and hospital; round 0 is the untrained model."""
    key = report.metrics.key
    rows: list[tuple[_Cell, ...]] = []
    for site in report.sites:
        rows += [(number, site, key, value) for number, value in mean_by_round(report, [site], key)]
        rows += [(number, site, "training loss", value) for number, value in losses_by_round(report, site)]
    return _write(("round", "hospital", "metric", "value"), rows)


def _total(counts: Iterable[Count]) -> Count:
    """The sum; None where one of them never left its hospital."""
    known = list(counts)
    return None if None in known else sum(count for count in known if count is not None)


def _write(header: Sequence[str], rows: Iterable[Sequence[_Cell]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_text(cell) for cell in row] for row in rows)
    return text.getvalue()


def _text(cell: _Cell) -> _Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
