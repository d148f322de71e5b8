"""Why the federation does not help a hospital, as far as the record shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from consilium.counts import counted
from consilium.learning.algorithms import adds_noise
from consilium.report.training.answers.answer import is_level
from consilium.report.training.study import Scores, StudyReport

_CLEARLY: Final = 4
"""Of two models of different hospitals, one is worse by so many times what rounds away."""


def explain_no_gain(report: StudyReport, site: str) -> str:
    """Return that the federation does not help a hospital, and what is known of the reasons.

    Args:
        report: The study.
        site: A hospital that does not clearly gain.
    """
    gain, reasons = report.sites[site].gain, list(_reasons(report, site))
    result = f"The federation does not clearly help {site}"
    if gain is not None and gain.why is not None:
        result = f"Whether the federation helps {site} is unknown"
        reasons.insert(0, gain.why)
    elif gain is not None and gain.standing == "loses":
        result = f"The federation does not help {site}"
    return f"{result}: {'; '.join(reasons)}." if reasons else f"{result}; the record shows no reason."


def _reasons(report: StudyReport, site: str) -> Iterator[str]:
    one = report.sites[site]
    if report.rounds and one.rounds_trained < len(report.rounds):
        yield f"it trained in {one.rounds_trained} of {counted(len(report.rounds), 'round')}"
    cases = {name: other.train_cases or 0 for name, other in report.sites.items() if other.rounds_trained}
    mine = cases.get(site, 0)
    if len(cases) > 1 and all(mine > other for name, other in cases.items() if name != site):
        yield (
            f"it has the most training cases ({mine} of {sum(cases.values())}), which leaves less to gain "
            "from others"
        )
    yield from _compare_foreign(report, site)
    yield from _compare_pooled(report, site)
    gain, key = one.gain, report.metrics.key_metric
    if gain is not None and gain.standing == "unclear" and gain.low is not None and gain.high is not None:
        patients = counted(gain.patients, f"{report.evaluated_on} patient")
        least = key.text((gain.high - gain.low) / 2)
        yield f"its {patients} show only differences of more than about {least}"


def _compare_foreign(report: StudyReport, site: str) -> Iterator[str]:
    """Whether models of other hospitals do worse there: then its patients or images are of another kind."""
    key, own = report.metrics.key_metric, _key(report, report.sites[site].own)
    models = [of_site.get(site) for home, of_site in report.local_models.items() if home != site]
    scores = [score for one in models if (score := _key(report, one)) is not None]
    if own is None or not scores:
        return
    best = max(scores, key=lambda score: key.gain(score, own))
    behind = key.gain(own, best)
    if behind > 0 and not is_level(key, behind / _CLEARLY):
        yield (
            f"models that other hospitals trained alone are worse there ({key.text(best)} at best; its own "
            f"{key.text(own)}), which suggests that its patients or images differ from theirs"
        )


def _compare_pooled(report: StudyReport, site: str) -> Iterator[str]:
    """Whether the others' cases help there at all, or only their average does not."""
    one, key = report.sites[site], report.metrics.key_metric
    own, pooled, final = (_key(report, scores) for scores in (one.own, one.pooled, one.global_))
    if own is None or pooled is None or final is None:
        return
    ahead = key.gain(pooled, own)
    if ahead <= 0 or is_level(key, ahead):
        yield (
            f"one model of all cases in one place is no better there ({key.text(pooled)}; its own "
            f"{key.text(own)})"
        )
    elif key.gain(pooled, final) > 0 and not is_level(key, pooled - final):
        noise = " with noise" if adds_noise(report.settings.get("algorithm")) else ""
        yield (
            f"one model of all cases in one place is better there ({key.text(pooled)}; its own "
            f"{key.text(own)}), so the cases help, and training them apart{noise} costs "
            f"{key.text(abs(pooled - final))}"
        )


def describe_progress(report: StudyReport) -> Iterator[str]:
    """Yield that the model was still improving, where it was."""
    key = report.metrics.key_metric
    means = [_key(report, one.scores) for one in report.rounds[-2:]]
    if len(means) == 2 and means[0] is not None and means[1] is not None:
        step = key.gain(means[1], means[0])
        if step > 0 and not is_level(key, step / 2):
            yield (
                f"The federation's model was still improving in the last round (by {key.text(step)}): more "
                "rounds may help."
            )


def _key(report: StudyReport, scores: Scores | None) -> float | None:
    return None if scores is None else scores.get(report.metrics.key)
