"""Scores of all hospitals together, in sentences."""

from __future__ import annotations

from consilium.counts import counted
from consilium.report.training.answers.answer import is_level
from consilium.report.training.study import StudyReport
from consilium.tasks.metrics import Metric


def state_verdict(report: StudyReport) -> list[str]:
    """Return what the model reaches, and its difference to the others', each with its numbers."""
    scores = report.summary.global_
    if scores is None:
        return []
    evaluated = {site: one for site, one in report.sites.items() if one.global_}
    cases = sum(one.scored_cases or 0 for one in evaluated.values())
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
    compared = sum(one.gain is not None and one.gain.mean is not None for one in evaluated.values())
    own, gain, pooled = report.summary.own, report.summary.gain, report.summary.pooled
    if own is not None and gain is not None and key.name in own:
        # Not of all hospitals, as in the sentence before.
        there = key.text(own[key.name] + gain if key.higher_is_better else own[key.name] - gain)
        where, models = ("At the one compared hospital", "its own model")
        if compared > 1:
            together = "On average over" if key.combines == "mean" else "Over all patients of"
            where, models = (f"{together} the {compared} compared hospitals", "their own models")
        difference = _difference(key, gain)
        sentences.append(f"{where}, its {there} is {difference} {models} ({key.text(own[key.name])}).")
    if pooled is not None and key.name in pooled:
        lead = _difference(key, key.gain(scores[key.name], pooled[key.name]))
        there = key.text(pooled[key.name])
        # Of all hospitals again, unlike the sentence before.
        subject = (
            f"Over all {counted(len(evaluated), 'hospital')}, it" if 0 < compared < len(evaluated) else "It"
        )
        sentences.append(f"{subject} is {lead} one model trained on all data in one place ({there}).")
    return sentences


def _difference(metric: Metric, gain: float) -> str:
    """`0.012 above`, by the metric's values: a gain is above where higher is better."""
    if is_level(metric, gain):
        return "level with"
    return f"{metric.text(abs(gain))} {'above' if (gain > 0) == metric.higher_is_better else 'below'}"
