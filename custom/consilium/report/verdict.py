"""The outcome of a study in a sentence or two."""

from __future__ import annotations

from consilium.counts import counted
from consilium.report.study import SiteSummary, StudyReport

_SAME = 0.005
"""Differences in Dice below this are called none: they round away in the second digit."""


def state_verdict(report: StudyReport) -> list[str]:
    """Return the sentences that head the report, each with its numbers."""
    scores = report.summary.global_
    if scores is None:
        return [f"There is no judged final model: the run {_STATES[report.status]}."]
    judged = {site: one for site, one in report.sites.items() if one.global_}
    cases = sum(one.validation_cases or 0 for one in judged.values())
    regions = ", ".join(
        f"{title.lower()} {scores[f'dice_{name}']:.3f}" for name, title in report.regions.items()
    )
    sentences = [
        f"On {counted(cases, 'patient case')} of {counted(len(judged), 'hospital')} that no model was "
        "trained "
        f"on, the federation's model reaches a mean Dice of {scores['dice']:.3f} ({regions})."
    ]
    local, pooled = report.summary.local, report.summary.pooled
    if local is not None:
        ahead = sum(_is_ahead(one) for one in judged.values())
        sentences.append(
            f"That is {_difference(scores['dice'] - local['dice'])} the mean of the models that hospitals "
            f"trained alone ({local['dice']:.3f}), and higher at {_share(ahead, len(judged))}."
        )
    if pooled is not None:
        sentences.append(
            f"It is {_difference(scores['dice'] - pooled['dice'])} one model trained on all data in one "
            f"place ({pooled['dice']:.3f})."
        )
    if len(judged) > 1:
        worst = report.summary.worst_site
        sentences.append(f"Its lowest mean is at {worst}: {scores['worst_site_dice']:.3f}.")
    return sentences


_STATES = {
    "running": "had not ended",
    "failed": "failed",
    "finished": "ended without a score from any hospital",
}


def _is_ahead(site: SiteSummary) -> bool:
    return bool(site.global_ and site.local and site.global_["dice"] > site.local["dice"])


def _difference(value: float) -> str:
    if abs(value) < _SAME:
        return "level with"
    return f"{abs(value):.3f} {'above' if value > 0 else 'below'}"


def _share(some: int, all_: int) -> str:
    if some in (0, all_) and all_ > 1:
        return f"all {all_}" if some else f"none of the {all_}"
    return f"{some} of the {all_}"
