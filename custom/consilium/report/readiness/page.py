"""The readiness check as a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from consilium.counts import counted
from consilium.errors import RefusalCode
from consilium.records.readiness import ReadinessRecord, explain_withheld
from consilium.records.remedies import remedy_for
from consilium.report.chart_style import DARK, LIGHT
from consilium.report.html import page_environment
from consilium.report.readiness.table import finding_rows, site_rows


def render_readiness(record: ReadinessRecord) -> str:
    """Render the page; names and reasons come from other machines, and the template escapes them."""
    return (
        page_environment()
        .get_template("readiness.html.j2")
        .render(
            record=record,
            created=datetime.fromtimestamp(record.created, timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            verdict=" ".join(_verdict(record)),
            not_ready={name: _obstacle(name, record) for name in record.not_ready},
            without_scores={name: explain_withheld(record.sites[name]) for name in record.without_scores},
            scores_remedy=remedy_for(RefusalCode.SCORES_HELD_BACK, "check"),
            rows=site_rows(record),
            findings=finding_rows(record),
            components=sorted({name for site in record.sites.values() for name in site.versions}),
            light=LIGHT,
            dark=DARK,
        )
    )


@dataclass(frozen=True)
class Obstacle:
    """Reason why a hospital is not ready, with its remedy; cases left out are in a separate table."""

    reason: str
    code: RefusalCode | None
    remedy: str


def _obstacle(name: str, record: ReadinessRecord) -> Obstacle:
    one = record.sites.get(name) or record.missing[name]
    return Obstacle(one.reason or "it only evaluates", one.code, remedy_for(one.code, "check"))


def _verdict(record: ReadinessRecord) -> Iterator[str]:
    able, asked = record.able_to_train, record.sites.keys() | record.missing.keys()
    yield f"{len(able)} of {counted(len(asked), 'hospital')} can train{f': {_listed(able)}' if able else ''}."
    chosen = sorted(asked - set(able) - set(record.not_ready))
    if chosen:
        yield f"By its own choice, {_listed(chosen)} will only evaluate."
    if record.not_ready:
        yield f"Something must be fixed at {_listed(record.not_ready)}."
    if record.scores_nothing:
        yield "No hospital would send a score of any model: a training would end without a result."
    elif record.without_scores:
        yield f"No score of any model would leave {_listed(record.without_scores)}."


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
