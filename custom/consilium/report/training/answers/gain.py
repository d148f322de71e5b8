"""Answer to the first question: what each hospital gains against training alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from consilium.counts import counted
from consilium.learning.algorithms import adds_noise
from consilium.report.training.answers.answer import MOST_NAMES, Answer, join, list_sites, signed, with_unit
from consilium.report.training.answers.explanation import describe_progress, explain_no_gain
from consilium.report.training.gains import FEW_PATIENTS, few_patients, sites_that
from consilium.report.training.study import GainSummary, StudyReport
from consilium.tasks.metrics import Metric

QUESTION: Final = "What does each hospital gain against training alone?"

_STATES: Final = {
    "running": "had not ended",
    "failed": "failed",
    "finished": "ended without a score from any hospital",
}


def answer_gain(report: StudyReport) -> Answer:
    """Return who gains and who loses against the hospital's own model, and by how much.

    Where an interval includes zero there is no clear difference, whatever the mean. A hospital that is not
    compared is neither: it is named as such.
    """
    sentence = _nothing_to_compare(report)
    if sentence is not None:
        return Answer(QUESTION, sentence)
    return Answer(
        QUESTION,
        f"In {report.metrics.key_name}, against its own model: {'; '.join(_groups(report))}.",
        tuple(_facts(report)),
        _hint(report),
    )


def _nothing_to_compare(report: StudyReport) -> str | None:
    if report.summary.global_ is None and _all_held_back(report):
        return (
            "No hospital sends scores of the final model: they would be of fewer patients than its "
            f"{report.metrics.minimum_setting} allows."
        )
    if report.summary.global_ is None:
        return f"There is no evaluated final model: the run {_STATES[report.status]}."
    if all(site.gain is None for site in report.sites.values()):
        return (
            "No hospital trained a model alone to compare with, so this report cannot say who gains by the "
            "federation."
        )
    if not _compared(report):
        return "No hospital can be compared with a model of its own, so it is unknown who gains."
    return None


def _all_held_back(report: StudyReport) -> bool:
    answered = [site for site in report.sites.values() if site.role is not None]
    return bool(answered) and all(site.scored_cases is None for site in answered)


def _compared(report: StudyReport) -> int:
    return sum(len(sites_that(report, one)) for one in ("gains", "loses", "unclear"))


def _groups(report: StudyReport) -> list[str]:
    gains, loses = sites_that(report, "gains"), sites_that(report, "loses")
    level, few = _by_evidence(report)
    compared = _compared(report)
    group = partial(_group, report, compared)
    parts = [group(gains, "gains", "gain"), group(loses, "loses", "lose")]
    if not gains and not loses and level:
        parts = ["no hospital clearly gains or loses"]
    elif gains and not loses and len(gains) < compared:
        parts.append("none loses")
    elif loses and not gains and len(loses) < compared:
        parts.append("none gains")
    if level:
        parts.append(f"no clear difference at {_named(report, level, _span)}")
    if few:
        parts.append(f"too few patients for a conclusion at {_named(report, few, _patients)}")
    out = sites_that(report, "not compared")
    if out:
        parts.append(f"{list_sites(out)} cannot be compared")
    return [part for part in parts if part]


def _by_evidence(report: StudyReport) -> tuple[list[str], list[str]]:
    """The hospitals without a clear difference, and those with too few patients for a conclusion."""
    unclear = {site: report.sites[site].gain for site in sites_that(report, "unclear")}
    few = [site for site, gain in unclear.items() if gain and gain.why]
    return [site for site in unclear if site not in few], few


def _group(report: StudyReport, compared: int, sites: Sequence[str], one: str, several: str) -> str:
    """`aster gains 0.040 (0.020 to 0.060) and birch 0.030 (...)`, or `7 of 9 hospitals gain 0.02 to 0.1`."""
    if not sites:
        return ""
    amounts = {site: _amount(report, site) for site in sites}
    every = "both hospitals" if compared == 2 else f"all {counted(compared, 'hospital')}"
    if len(sites) > MOST_NAMES:
        key = report.metrics.key_metric
        sizes = sorted(abs(_gain(report, site).mean or 0.0) for site in sites)
        who = every if len(sites) == compared else f"{len(sites)} of {counted(compared, 'hospital')}"
        return f"{who} {several} {_to(key, sizes[0], sizes[-1])}"
    if len(sites) == compared > 1:
        return f"{every} {several}: {join(f'{site} {amount}' for site, amount in amounts.items())}"
    first, *others = amounts.items()
    return join([f"{first[0]} {one} {first[1]}", *(f"{site} {amount}" for site, amount in others)])


def _amount(report: StudyReport, site: str) -> str:
    """`0.040 (0.020 to 0.060)`: of a loss as well, whose verb has the sign."""
    key, gain = report.metrics.key_metric, _gain(report, site)
    mean = with_unit(key, abs(gain.mean or 0.0))
    ends = sorted(abs(end) for end in (gain.low, gain.high) if end is not None)
    return f"{mean} ({_to(key, *ends)})"


def _to(key: Metric, low: float, high: float) -> str:
    return f"{key.text(low)} to {key.text(high)}"


def _gain(report: StudyReport, site: str) -> GainSummary:
    gain = report.sites[site].gain
    if gain is None:
        raise ValueError(f"{site} has no gain")
    return gain


def _named(report: StudyReport, sites: Sequence[str], of_one: Callable[[StudyReport, str], str]) -> str:
    if len(sites) > MOST_NAMES:
        return list_sites(sites)
    return join(f"{site} ({of_one(report, site)})" for site in sites)


def _span(report: StudyReport, site: str) -> str:
    key, gain = report.metrics.key_metric, _gain(report, site)
    return " to ".join(signed(key, end) for end in (gain.low, gain.high) if end is not None)


def _patients(report: StudyReport, site: str) -> str:
    key, gain = report.metrics.key_metric, _gain(report, site)
    return f"{signed(key, gain.mean or 0.0)}, {counted(gain.patients, 'patient')}"


def _facts(report: StudyReport) -> list[str]:
    level, unknown = _by_evidence(report)
    not_helped = [*reversed(sites_that(report, "loses")), *level, *unknown]
    facts = [explain_no_gain(report, site) for site in not_helped[:MOST_NAMES]]
    if len(not_helped) > MOST_NAMES:
        facts.append(f"It does not clearly help {len(not_helped) - MOST_NAMES} more; see the figure.")
    if not_helped:
        facts += describe_progress(report)
    few = [site for site in few_patients(report) if site not in unknown]
    if few:
        compared = [site for site, one in report.sites.items() if one.gain and one.gain.low is not None]
        where = "" if len(few) == len(compared) else f" at {list_sites(few)}"
        facts.append(
            f"Weak evidence{where}: {_patient_span(report, few)}, and over fewer than {FEW_PATIENTS} an "
            "interval means little."
        )
    return facts


def _patient_span(report: StudyReport, sites: Sequence[str]) -> str:
    """`1 patient`, `3 patients each` or `3 to 4 patients each`."""
    counts = sorted({patients for site in sites if (patients := _gain(report, site).patients)})
    most = counted(counts[-1], "patient")
    span = most if len(counts) == 1 else f"{counts[0]} to {most}"
    return f"{span} each" if len(sites) > 1 else span


def _hint(report: StudyReport) -> str:
    noise = ", but no noise" if adds_noise(report.settings.get("algorithm")) else ""
    parts = [
        f"The hospital's own model had the same network, settings and number of steps{noise}.",
        f"A gain is one of {report.metrics.key_name}, not of benefit for patients.",
    ]
    if any(one.gain and one.gain.low is not None for one in report.sites.values()):
        parts.insert(0, "In brackets: the 95 % interval over patients.")
    if _by_evidence(report)[0]:
        parts.append("No clear difference does not mean equal: the interval includes zero.")
    return " ".join(parts)
