"""Overview of a study: models, patients, cases left out, participating sites."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from consilium.counts import Count, count_text, counted, total_text
from consilium.report.training.gains import list_sites, sites_that
from consilium.report.training.study import StudyReport

_MOST_NAMES: Final = 6
"""Hospitals that are named; of more there is their number, and the tables below have each."""

_names: Final = partial(list_sites, most=_MOST_NAMES)


def list_basics(report: StudyReport) -> list[tuple[str, str]]:
    """Return questions and answers, each a line or two."""
    return [
        ("Models", " ".join(_models(report))),
        ("Patients", _patients(report)),
        ("Left out", _left_out(report)),
        ("Who took part", _participation(report)),
    ]


def _models(report: StudyReport) -> list[str]:
    trained = [site for site, one in report.sites.items() if one.rounds_trained]
    sentences = [
        f"Federated: the model after round {len(report.rounds)} of {report.rounds_planned}, trained at "
        f"{_names(trained) or 'no hospital'}."
    ]
    compared = [*sites_that(report, "gains"), *sites_that(report, "unclear"), *sites_that(report, "loses")]
    if compared:
        where = "" if len(compared) == len(trained) else f", at {_names(sorted(compared))}"
        sentences.append(f"Own: trained at one hospital alone with as many steps{where}.")
    if report.summary.pooled is not None:
        sentences.append("Pooled: trained on all cases in one place.")
    return sentences


def _patients(report: StudyReport) -> str:
    evaluated = {site: one.validation_cases for site, one in report.sites.items() if one.global_}
    if not evaluated:
        return "No model was evaluated."
    counts: dict[str, Count] = dict(evaluated)
    each = ", ".join(f"{site} {count_text(count)}" for site, count in counts.items())
    where = each if len(counts) <= _MOST_NAMES else f"of {counted(len(counts), 'hospital')}"
    trained_on = sum(one.train_cases or 0 for one in report.sites.values())
    return (
        f"Scores are of {_total(counts)} that no model was trained on ({where}). "
        f"Training was on {trained_on} others."
    )


def _total(counts: Mapping[str, Count]) -> str:
    total = total_text(counts)
    return counted(int(total), "validation case") if total.isdigit() else f"{total} validation cases"


def _left_out(report: StudyReport) -> str:
    by_site = {site: one.left_out for site, one in report.sites.items() if one.left_out}
    if not by_site:
        return "No case."
    each = ", ".join(f"{site} {total_text(counts)}" for site, counts in by_site.items())
    where = each if len(by_site) <= _MOST_NAMES else f"cases of {counted(len(by_site), 'hospital')}"
    return f"{where}; the reasons are listed under “Cases”."


def _participation(report: StudyReport) -> str:
    if report.outcome == "success":
        return "Every hospital, to the end."
    missing = [site for site, one in report.sites.items() if one.reason]
    if missing:
        return f"Not all of them: {_names(missing)} had no part in the last task; see the warnings."
    return "Not all of them in every round; see the warnings."
