"""Outcome of a study in words: gains and losses, then the quality of the model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from consilium.counts import counted
from consilium.report.training.gains import FEW_PATIENTS, few_patients, list_sites, sites_that
from consilium.report.training.study import StudyReport
from consilium.tasks.metrics import Metric

_LEVEL: Final = 5
"""Differences below this many of the last digit shown are called level: they round away before it."""

_MOST_NAMES: Final = 3
"""Names in one group of the headline; of more, it has their number: the figure below it has the names."""

_names: Final = partial(list_sites, most=_MOST_NAMES)


def state_headline(report: StudyReport) -> str:
    """Return who gains and who loses against the hospital's own model, in one sentence.

    A hospital that is not compared is neither: it is named as such.
    """
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
    gains, loses = sites_that(report, "gains"), sites_that(report, "loses")
    unclear, out = sites_that(report, "unclear"), sites_that(report, "not compared")
    compared = len(gains) + len(loses) + len(unclear)
    if not compared:
        return "No hospital can be compared with a model of its own, so it is unknown who gains."
    parts = [
        _hospitals_phrase(gains, compared, "gains", "gain"),
        _hospitals_phrase(loses, compared, "loses", "lose"),
    ]
    clear, inconclusive = _by_evidence(report, unclear)
    if len(inconclusive) == compared:
        parts = [f"too few patients for a conclusion ({_patient_span(report, inconclusive)})"]
    elif not gains and not loses:
        parts = ["no hospital clearly gains or loses"]
    elif not loses and len(gains) < compared:
        parts.append("none loses")
    elif not gains and len(loses) < compared:
        parts.append("none gains")
    if clear and (gains or loses):
        parts.append(f"no clear difference at {_names(clear)}")
    if inconclusive and len(inconclusive) < compared:
        parts.append(f"too few patients for a conclusion at {_names(inconclusive)}")
    if out:
        parts.append(f"{_names(out)} cannot be compared")
    headline = f"Against each hospital's own model: {'; '.join(part for part in parts if part)}."
    return headline if len(inconclusive) == compared else f"{headline} {_weakness(report)}".rstrip()


def _all_held_back(report: StudyReport) -> bool:
    answered = [site for site in report.sites.values() if site.role is not None]
    return bool(answered) and all(site.validation_cases is None for site in answered)


def state_verdict(report: StudyReport) -> list[str]:
    """Return the sentences below the headline, each with its numbers."""
    scores = report.summary.global_
    if scores is None:
        return []
    evaluated = {site: one for site, one in report.sites.items() if one.global_}
    cases = sum(one.validation_cases or 0 for one in evaluated.values())
    metrics, key = report.metrics, report.metrics.key_metric
    if key.name not in scores:
        return [
            f"What all hospitals reach together in {key.title} can be computed where the task is installed."
        ]
    by_target = ", ".join(
        f"{metrics.targets[one.target].lower()} {one.text(scores[one.name])}"
        for one in metrics.shown[key.title]
        if one.target and one.name in scores
    )
    value = key.text(scores[key.name])
    reached = (
        f"a {metrics.key_name} of {value}"
        if key.is_mean
        else f"{value}{key.unit and ' '}{key.unit} in {key.title}"
    )
    sentences = [
        f"On {counted(cases, 'patient case')} of {counted(len(evaluated), 'hospital')} that no model was "
        f"trained on, the federation's model reaches {reached}{f' ({by_target})' if by_target else ''}."
    ]
    own, gain, pooled = report.summary.own, report.summary.gain, report.summary.pooled
    if own is not None and gain is not None and key.name in own:
        # Not of all hospitals, as in the sentence before.
        there = key.text(own[key.name] + gain if key.higher_is_better else own[key.name] - gain)
        compared = sum(one.gain is not None and one.gain.mean is not None for one in evaluated.values())
        where, models = ("At the one compared hospital", "its own model")
        if compared > 1:
            together = "In the mean over" if key.combines == "mean" else "Over all patients of"
            where, models = (f"{together} the {compared} compared hospitals", "their own models")
        difference = _difference(key, gain)
        sentences.append(f"{where}, its {there} is {difference} {models} ({key.text(own[key.name])}).")
    if pooled is not None and key.name in pooled:
        lead = _difference(key, key.gain(scores[key.name], pooled[key.name]))
        there = key.text(pooled[key.name])
        sentences.append(f"It is {lead} one model trained on all data in one place ({there}).")
    worst, worst_score = report.summary.worst_site, report.summary.worst_site_score
    if len(evaluated) > 1 and worst_score is not None:
        extreme = "lowest" if key.higher_is_better else "highest"
        of_site = "mean" if key.is_mean else key.title
        sentences.append(f"Its {extreme} {of_site} is at {worst}: {key.text(worst_score)}.")
    return sentences


def _by_evidence(report: StudyReport, unclear: Sequence[str]) -> tuple[list[str], list[str]]:
    """The hospitals without a clear difference, and those with too few patients for a conclusion."""
    gains = {site: report.sites[site].gain for site in unclear}
    inconclusive = [site for site, gain in gains.items() if gain and gain.why]
    return [site for site in unclear if site not in inconclusive], inconclusive


def _weakness(report: StudyReport) -> str:
    few = few_patients(report)
    if not few:
        return ""
    compared = [one for one in report.sites.values() if one.gain and one.gain.patients]
    where = "" if len(few) == len(compared) else f" at {_names(few)}"
    span = _patient_span(report, few)
    return f"Weak evidence{where}: {span}, and over fewer than {FEW_PATIENTS} an interval means little."


def _patient_span(report: StudyReport, sites: Sequence[str]) -> str:
    """`1 patient`, `3 patients each` or `3 to 4 patients each`."""
    counts = sorted({gain.patients for site in sites if (gain := report.sites[site].gain) and gain.patients})
    most = counted(counts[-1], "patient")
    span = most if len(counts) == 1 else f"{counts[0]} to {most}"
    return f"{span} each" if len(sites) > 1 else span


_STATES = {
    "running": "had not ended",
    "failed": "failed",
    "finished": "ended without a score from any hospital",
}


def _hospitals_phrase(sites: Sequence[str], compared: int, one: str, several: str) -> str:
    """`aster gains`, `aster and birch gain`, `7 of 9 hospitals lose`, `all 9 hospitals gain`."""
    if not sites:
        return ""
    if len(sites) == compared > 1:
        every = "both" if compared == 2 else f"all {compared}"
        return f"{every} hospitals {several}"
    if len(sites) > _MOST_NAMES:
        return f"{len(sites)} of {counted(compared, 'hospital')} {several}"
    return f"{_names(sites)} {one if len(sites) == 1 else several}"


def _difference(metric: Metric, gain: float) -> str:
    """`0.012 above`, by the metric's values: a gain is above where higher is better."""
    if abs(gain) < _LEVEL * 10.0**-metric.digits:
        return "level with"
    return f"{metric.text(abs(gain))} {'above' if (gain > 0) == metric.higher_is_better else 'below'}"
