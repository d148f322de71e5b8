"""Answer to the second question: whom the model serves worst."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from consilium.counts import agree, counted
from consilium.report.training.answers.answer import Answer, is_level, list_sites, with_unit
from consilium.report.training.gains import FEW_PATIENTS
from consilium.report.training.study import Scores, StudyReport
from consilium.tasks.metrics import Metric

QUESTION: Final = "Whom does the model serve worst?"


def answer_service(report: StudyReport) -> Answer:
    """Return the hospital with the worst key score, its gap to the best, and its weakest target."""
    scores = scores_by_site(report)
    name, key = report.metrics.key_name, report.metrics.key_metric
    if not scores:
        return Answer(QUESTION, "No hospital sends a score of the final model, so it is unknown.")
    worst, best = next(iter(scores)), list(scores)[-1]
    if len(scores) == 1:
        sentence = (
            f"It was evaluated at one hospital only: {worst}, with a {name} of "
            f"{with_unit(key, scores[worst])} on {_cases(report, worst)}."
        )
        return Answer(QUESTION, sentence, tuple(_facts(report, worst, worst)))
    gap = key.gain(scores[best], scores[worst])
    if is_level(key, gap):
        low, high = sorted((scores[worst], scores[best]))
        sentence = (
            f"It serves all {len(scores)} evaluated hospitals alike: {name} {key.text(low)} to "
            f"{with_unit(key, high)}."
        )
    else:
        sentence = (
            f"{worst} has the worst {name}: {with_unit(key, scores[worst])} on {_cases(report, worst)}, "
            f"{key.text(gap)} worse than {best}, the best ({with_unit(key, scores[best])})."
        )
        weakest = weakest_target(report, report.sites[worst].global_)
        if weakest is not None:
            metric, value = weakest
            sentence = (
                f"{sentence[:-1]}; weakest there is "
                f"{report.metrics.targets[metric.target or ''].lower()} ({with_unit(metric, value)})."
            )
    return Answer(QUESTION, sentence, tuple(_facts(report, worst, best)), _HINT)


_HINT: Final = (
    "Each hospital is scored on its own patients: a gap can come from harder patients, other equipment or "
    "annotations, as well as from the model."
)


def scores_by_site(report: StudyReport) -> dict[str, float]:
    """Return each hospital's key score of the final model, the worst first."""
    key = report.metrics.key_metric
    found = {
        site: one.global_[key.name]
        for site, one in report.sites.items()
        if one.global_ and key.name in one.global_
    }
    return dict(sorted(found.items(), key=lambda pair: (key.gain(pair[1], 0.0), pair[0])))


def weakest_target(report: StudyReport, scores: Scores | None) -> tuple[Metric, float] | None:
    """Return the target with the worst score in the key metric's title; None where there are no two."""
    key, found = report.metrics.key_metric, scores or {}
    targets = [one for one in report.metrics.shown[key.title] if one.target and one.name in found]
    if len(targets) < 2:
        return None
    worst = min(targets, key=lambda one: one.gain(found[one.name], 0.0))
    return worst, found[worst.name]


def _facts(report: StudyReport, worst: str, best: str) -> Iterator[str]:
    key = report.metrics.key_metric
    overall = weakest_target(report, report.summary.global_)
    if overall is not None and worst != best:
        metric, value = overall
        title = report.metrics.targets[metric.target or ""].lower()
        yield f"Over all hospitals together, weakest is {title} ({with_unit(metric, value)})."
    if worst != best and report.sites[worst].role == "evaluates":
        yield f"{worst} only evaluates: the model did not train on its patients."
    few = {site: report.sites[site].scored_cases or 0 for site in (worst, best)}
    if worst != best and any(0 < cases < FEW_PATIENTS for cases in few.values()):
        cases = " and ".join(str(few[site]) for site in (worst, best))
        yield f"With so few cases ({cases}), which hospital is worst can be chance."
    unknown = [site for site, one in report.sites.items() if not one.global_ or key.name not in one.global_]
    if unknown:
        yield (
            f"Not known of {list_sites(unknown)}, which {agree(len(unknown), 'sends', 'send')} no score: it "
            "can be worse there."
        )


def _cases(report: StudyReport, site: str) -> str:
    return counted(report.sites[site].scored_cases, f"{report.evaluated_on} case")
