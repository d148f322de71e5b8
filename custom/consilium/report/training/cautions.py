"""Cautions for the reader of a study's numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from consilium.aggregation.shares import largest_share, weighted_shares
from consilium.counts import counted, total_text
from consilium.errors import RefusalCode
from consilium.learning.algorithms import adds_noise, algorithm_caution
from consilium.learning.model_file import BEST_MODEL
from consilium.records.federation import FederationRecord, SiteReport, SiteRound
from consilium.records.model_comparison import (
    DEFAULT_SELECTION,
    SELECTION_TEXTS,
    kept_round,
    paired_difference,
    parse_selection,
    selection_gain,
)
from consilium.records.remedies import remedy_for
from consilium.report.training.round_cautions import about_rounds
from consilium.tasks import learning_caution

_PREPARATION = "the preparation"
_VALIDATION, _FINAL = "the last validation", "the final evaluation"
_BEST = "the evaluation of the best model"
_AFTER_ROUNDS = {_VALIDATION: "validate", _FINAL: "test", _BEST: "test"}
"""Stages after the last round, in order, with their task."""


def list_cautions(federation: FederationRecord, *, compared: bool = False) -> list[str]:
    """Return one sentence for each thing that went otherwise than planned, the run first.

    Args:
        federation: What the server wrote down.
        compared: Whether a simulation trained local-only and pooled models as well.
    """
    return [
        *_about_run(federation),
        *_about_learning(federation),
        *_about_algorithm(federation, compared),
        *_about_best(federation),
        *about_rounds(federation),
        *_about_absences(federation),
        *_about_local_only(federation),
        *_about_shares(federation),
        *_about_sites(federation),
    ]


def _about_run(federation: FederationRecord) -> Iterator[str]:
    done, planned = len(federation.rounds), federation.rounds_planned
    if federation.status != "finished":
        reason = f": {federation.reason}" if federation.reason else ""
        state = "failed" if federation.status == "failed" else "had not ended when this report was made"
        yield f"The run {state}, after {done} of {counted(planned, 'round')}{reason}."


def _about_algorithm(federation: FederationRecord, compared: bool) -> Iterator[str]:
    values = federation.settings.get("algorithm")
    if caution := algorithm_caution(values):
        yield caution
    if compared and adds_noise(values):
        yield (
            "The local-only and pooled models were trained without noise, and promise no patient anything: "
            "a hospital's gain is what the federation adds less what the noise costs."
        )


def _learned_nothing(federation: FederationRecord) -> bool:
    """Whether all sites find the final model as good as none; two such models are not worth comparing."""
    key, limit, scores = federation.metrics.key_metric, federation.metrics.nothing_learned, _final(federation)
    return limit is not None and bool(scores) and all(key.gain(one, limit) < 0 for one in scores)


def _final(federation: FederationRecord) -> list[float]:
    key = federation.metrics.key
    return [scores[key] for scores in federation.final_scores.values() if key in scores]


def _about_learning(federation: FederationRecord) -> Iterator[str]:
    if caution := learning_caution(federation.settings.get("learning")):
        yield caution
    if _learned_nothing(federation):
        metrics, limit = federation.metrics, federation.metrics.nothing_learned
        side = "below" if metrics.key_metric.higher_is_better else "above"
        yield (
            f"The final model has learned next to nothing: its {metrics.key_name} is {side} {limit:g} at "
            "every hospital that evaluated it. More rounds or local_steps, or another learning_rate, are the "
            "usual remedy."
        )


def _about_best(federation: FederationRecord) -> Iterator[str]:
    best, final = federation.best_round, kept_round(federation, len(federation.rounds))
    if best is None or best == final or not federation.final_scores or _learned_nothing(federation):
        return
    rule = parse_selection(federation.settings.get("selection", DEFAULT_SELECTION))
    gain, difference = (
        selection_gain(federation, best, final, rule),
        paired_difference(federation, best, final),
    )
    if gain is None:
        comparison = "too few hospitals evaluated both this and the final model to compare them"
    elif rule == "median" and difference is not None:
        comparison = f"{_compare(gain, federation)} in the median over {difference.basis}"
    else:
        comparison = f"{_compare(gain, federation)} by {SELECTION_TEXTS[rule]}"
    yield (
        f"The model of round {best} is kept as {BEST_MODEL}: {comparison}.{_on_test_patients(federation)} "
        "This report is about the final model."
    )


def _on_test_patients(federation: FederationRecord) -> str:
    """Say how both models do on the patients who chose neither."""
    key = federation.metrics.key_metric
    both = [
        (best[key.name], federation.final_scores[site][key.name])
        for site, best in federation.best_scores.items()
        if key.name in best and key.name in federation.final_scores.get(site, {})
    ]
    if not both:
        return ""
    best, final = (key.text(fmean(values)) for values in zip(*both, strict=True))
    return (
        f" On the test patients of {counted(len(both), 'hospital')} it has {best}, the final model {final}."
    )


def _compare(gain: float, federation: FederationRecord) -> str:
    """Say by how much the best model is better than the final one."""
    key = federation.metrics.key_metric
    higher, smallest = "higher" if key.higher_is_better else "lower", 10.0**-key.digits
    if gain <= 0:
        return f"its {key.title} is no {higher} than the final model's"
    shown = key.text(gain) if gain >= smallest else f"less than {smallest:g}"
    return f"its {key.title} is {shown} {higher} than the final model's"


def _about_absences(federation: FederationRecord) -> Iterator[str]:
    missed: dict[tuple[str, str, RefusalCode | None], list[str]] = defaultdict(list)
    asked = [(str(record.number), record.sites) for record in federation.rounds]
    for stage, sites in [
        (_PREPARATION, federation.preparation),
        *asked,
        (_VALIDATION, federation.validation_sites),
        (_FINAL, federation.final_sites),
        (_BEST, federation.best_sites),
    ]:
        for site, one in sites.items():
            if is_absent(one):
                missed[site, absence_reason(one), one.code].append(stage)
    for (site, reason, code), stages in sorted(missed.items(), key=lambda one: one[0][:2]):
        where = _join_stages(stages, len(federation.rounds))
        remedy = remedy_for(code, _AFTER_ROUNDS.get(stages[-1], "train"))
        yield f"{site} is missing from {where}: {reason}. What to do: {remedy}."


def _about_local_only(federation: FederationRecord) -> Iterator[str]:
    for site, one in sorted(federation.local_only.items()):
        if is_absent(one):
            yield (
                f"{site} has no model of its own to compare with: {absence_reason(one)}. What to do: "
                f"{remedy_for(one.code, 'local_only')}."
            )


def is_absent(one: SiteRound) -> bool:
    """Return whether a site has no part in a task that it was asked for."""
    return one.outcome in ("refused", "excluded", "no answer")


def absence_reason(one: SiteRound) -> str:
    """Return why, without a full stop."""
    return (one.reason or ("no answer came" if one.outcome == "no answer" else "it declined")).rstrip(".")


def _join_stages(stages: Sequence[str], rounds: int) -> str:
    numbers = [stage for stage in stages if stage != _PREPARATION and stage not in _AFTER_ROUNDS]
    parts = [_PREPARATION] if _PREPARATION in stages else []
    if numbers:
        every = len(numbers) == rounds > 1
        parts.append("every round" if every else f"round{'s'[: len(numbers) - 1]} {', '.join(numbers)}")
    parts += [stage for stage in stages if stage in _AFTER_ROUNDS]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _about_shares(federation: FederationRecord) -> Iterator[str]:
    """Name the sites that the model is made of alone, and those that outweigh the others by what they say."""
    rule: Mapping[str, Any] = federation.settings.get("aggregation") or {}
    weighs_cases = rule.get("rule", "mean") in ("mean", "clipped_mean")
    max_share = rule.get("max_site_share", 1.0)  # records of before the limit have none
    alone, above = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    largest: dict[str, float] = {}
    cases: dict[str, int] = {}
    for record in federation.rounds:
        if record.turn is not None:
            continue  # as it should be: the algorithm's own caution is about it
        counted = {site: one.report for site, one in record.sites.items() if one.weight and one.report}
        shares = weighted_shares({site: report.train_cases or 0 for site, report in counted.items()})
        for site, share in shares.items():
            if len(shares) == 1:
                alone[site].append(str(record.number))
                cases[site] = counted[site].train_cases or 0
            elif weighs_cases and share > largest_share(len(shares), max_share):
                above[site].append(str(record.number))
                largest[site] = max(share, largest.get(site, 0.0))
    rounds = len(federation.rounds)
    for site, stages in sorted(alone.items()):
        count = f"{cases[site]} training case{'s' * (cases[site] != 1)}"
        yield (
            f"Only {site}'s update counted in {_join_stages(stages, rounds)}: its share is 100%, and the "
            f"model learned from its {count} alone."
        )
    for site, stages in sorted(above.items()):
        yield (
            f"{site} reports up to {largest[site]:.0%} of the training cases in "
            f"{_join_stages(stages, rounds)}; its share was limited (aggregation.max_site_share)."
        )


def _about_sites(federation: FederationRecord) -> Iterator[str]:
    for site, report in sorted(_last_reports(federation).items()):
        if report.left_out:
            yield f"{site} left out {_how_many(report)}; the reasons are listed under “Cases”."
        scored_cases = federation.scored_cases(report)
        if report.role == "evaluates" and scored_cases == 1:
            yield f"{site} has one usable labeled case, and training takes two patients: it only evaluates."
        if report.role == "trains" and scored_cases == 0:
            yield (
                f"{site} has no test set: it has too few patients for one, or a test_fraction of 0. The "
                "final model's scores are of other hospitals' patients only."
            )
        if report.role == "trains" and report.validation_cases == 0:
            yield f"{site} has no validation set: its patients had no part in choosing the best model."
        if report.earlier_models:
            yield describe_earlier(site, report.earlier_models)
        if scored_cases is None:
            setting = federation.metrics.minimum_setting
            yield (
                f"{site} holds all scores back: they would be of fewer patients than its {setting}. "
                f"What to do: {remedy_for(RefusalCode.SCORES_HELD_BACK, 'test')}."
            )
        if report.missing_targets:
            yield (
                f"The labels of {site} lack {' and '.join(report.missing_targets)}: it trained and scored "
                "the other targets only, and its mean is over those."
            )
        if report.hospital_noise is not None:
            yield (
                f"Noise hides {site} as a whole: {report.hospital_noise:.3g} times the norm that its updates "
                "were scaled down to. It sent no training loss and no scores of validation patients. The "
                "unit is the hospital; this is no protection by patient."
            )
        differing = _differing(report.versions, federation.versions)
        if differing:
            yield f"{site} ran other versions than the server: {'; '.join(differing)}."


def describe_earlier(site: str, models: int) -> str:
    """Caution that a site's test patients are no longer unseen, with how many models they were used for."""
    return (
        f"The test patients of {site} were used to evaluate {counted(models, 'model')} before this job. "
        "Scores are too good if a model was chosen by them."
    )


def _how_many(report: SiteReport) -> str:
    known = [count for count in report.left_out.values() if count is not None]
    sets = (report.train_cases, report.validation_cases, report.test_cases)
    used = [count for count in sets if count is not None]
    if len(known) < len(report.left_out) or len(used) < len(sets):
        total = total_text(report.left_out)
        return counted(int(total), "case") if total.isdigit() else f"{total} cases"
    return f"{sum(known)} of {counted(sum(known) + sum(used), 'case')}"


def _last_reports(federation: FederationRecord) -> dict[str, SiteReport]:
    stages = [
        federation.preparation,
        *(record.sites for record in federation.rounds),
        federation.validation_sites,
        federation.final_sites,
        federation.best_sites,
    ]
    return {site: one.report for sites in stages for site, one in sites.items() if one.report}


def _differing(site: Mapping[str, str], server: Mapping[str, str]) -> list[str]:
    names = sorted(site.keys() & server.keys())
    return [f"{name} {site[name]} instead of {server[name]}" for name in names if site[name] != server[name]]
