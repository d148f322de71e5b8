"""Summary of a run: from its records to the numbers of its report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np

from consilium.counts import Count
from consilium.learning.algorithms import recorded_algorithm, withheld_by
from consilium.records.federation import (
    BaselineRecord,
    FederationRecord,
    RoundRecord,
    SiteReport,
    SiteRound,
)
from consilium.records.outcome import determine_outcome
from consilium.records.remedies import remedy_for
from consilium.records.score_intervals import ScoreInterval
from consilium.report.privacy.statement import OfferedProtection
from consilium.report.site_combiner import SiteCombiner
from consilium.report.training.cautions import absence_reason, is_absent, list_cautions
from consilium.report.training.gains import has_own_models, summarize_gain
from consilium.report.training.study import (
    BaselineSteps,
    RoundSummary,
    Scores,
    SiteInRound,
    SiteSummary,
    SiteTraffic,
    StudyReport,
    StudySeconds,
    StudyVersions,
    Summary,
)
from consilium.tasks.metrics import Metric


def summarize_study(
    federation: FederationRecord, *, baselines: BaselineRecord | None, seconds: Mapping[str, float]
) -> StudyReport:
    """Work out the numbers of a study's report.

    Every hospital counts the same in a mean over hospitals, whatever its number of patients. The models to
    compare with are averaged only over hospitals that evaluated the global model: the means are of the same
    patients.

    Args:
        federation: What the server wrote down.
        baselines: The models to compare with; None if they were not trained.
        seconds: Wall time of `cohort`, `federated` and `total`, as far as known; `baselines` has the others.

    Raises:
        ValidationError: If a score is not finite or `seconds` has an unknown name.
    """
    algorithm = recorded_algorithm(federation.settings.get("algorithm"))
    reports = _reports_by_site(federation)
    compared = _compared_sites(federation)
    combiner = SiteCombiner(federation.task, federation.metrics)
    sites = {
        site: _summarize_site(site, site_reports, federation, baselines, combiner)
        for site, site_reports in reports.items()
    }
    measured = (
        {} if baselines is None else {"local": baselines.local_seconds, "pooled": baselines.pooled_seconds}
    )
    return StudyReport(
        job=federation.job,
        task=federation.task,
        title=federation.title,
        metrics=federation.metrics,
        evaluated_on=federation.scored_on,
        status=federation.status,
        outcome=determine_outcome(federation).kind,
        reason=federation.reason,
        rounds_planned=federation.rounds_planned,
        best_round=federation.best_round,
        warnings=list_cautions(federation, compared=baselines is not None),
        summary=_summarize(federation, baselines, sites, combiner),
        sites=sites,
        local_models={} if baselines is None else baselines.local,
        initial_scores=federation.initial_scores,
        compared_sites=compared,
        rounds=[_summarize_round(record, compared, combiner) for record in federation.rounds],
        bytes={site: _total_traffic(site_reports) for site, site_reports in reports.items()},
        seconds=StudySeconds.model_validate(measured | dict(seconds)),
        baseline_steps=(
            None
            if baselines is None
            else BaselineSteps(local=baselines.local_steps, pooled=baselines.pooled_steps)
        ),
        versions=StudyVersions(
            server=federation.versions,
            sites={site: site_reports[-1].versions for site, site_reports in reports.items() if site_reports},
        ),
        privacy=None if algorithm is None else OfferedProtection.of(algorithm.promise()),
        withheld=_list_withheld(federation),
        settings=federation.settings,
    )


def _list_withheld(federation: FederationRecord) -> list[Literal["validation_scores", "losses"]]:
    withheld = withheld_by(federation.settings.get("algorithm"))
    named: dict[Literal["validation_scores", "losses"], bool] = {
        "validation_scores": withheld.scores,
        "losses": withheld.losses,
    }
    return [name for name, stays in named.items() if stays]


def _summarize(
    federation: FederationRecord,
    baselines: BaselineRecord | None,
    sites: Mapping[str, SiteSummary],
    combiner: SiteCombiner,
) -> Summary:
    final_scores, key = federation.final_scores, federation.metrics.key_metric
    summary = Summary(global_=combiner.combine(final_scores.values()))
    scored = {site: scores[key.name] for site, scores in final_scores.items() if key.name in scores}
    if scored:
        summary.worst_site = min(scored, key=lambda site: key.gain(scored[site], 0.0))
        summary.worst_site_score = scored[summary.worst_site]
    if baselines is not None:
        evaluated = set(final_scores) or set(baselines.pooled)
        summary.local = combiner.combine(
            scores[site] for scores in baselines.local.values() for site in scores if site in evaluated
        )
        summary.pooled = combiner.combine(
            baselines.pooled[site] for site in baselines.pooled if site in evaluated
        )
    compared = [one for one in sites.values() if one.gain and one.gain.mean is not None]
    summary.own = combiner.combine(one.own for one in compared if one.own)
    summary.gain = _mean_gain(compared, summary.own, key, combiner)
    return summary


def _mean_gain(
    compared: Sequence[SiteSummary], own: Scores | None, key: Metric, combiner: SiteCombiner
) -> float | None:
    """The mean of the hospitals' gains; of a metric that all have together, the gain of all together."""
    if key.combines != "derived":
        gains = [one.gain.mean for one in compared if one.gain and one.gain.mean is not None]
        return float(np.mean(gains)) if gains else None
    together = combiner.combine(one.global_ for one in compared if one.own and one.global_)
    if own is None or together is None or key.name not in own or key.name not in together:
        return None
    return key.gain(together[key.name], own[key.name])


def _summarize_site(
    site: str,
    reports: Sequence[SiteReport],
    federation: FederationRecord,
    baselines: BaselineRecord | None,
    combiner: SiteCombiner,
) -> SiteSummary:
    last = reports[-1] if reports else None
    asked = _asked_by_site(federation)[site]
    absent = asked[-1] if is_absent(asked[-1]) else None
    rounds = [record.sites[site] for record in federation.rounds if site in record.sites]
    trained = [one for one in rounds if one.outcome == "trained"]
    local = {} if baselines is None else baselines.local
    own = federation.gains.get(site)
    return SiteSummary(
        role=last.role if last else None,
        train_cases=last.train_cases if last else None,
        validation_cases=last.validation_cases if last else None,
        scored_cases=federation.scored_cases(last) if last else None,
        best=federation.best_scores.get(site),
        intervals=_intervals(federation.final_sites.get(site)),
        best_intervals=_intervals(federation.best_sites.get(site) or federation.final_sites.get(site)),
        earlier_models=last.earlier_models if last else 0,
        reason=absence_reason(absent) if absent else None,
        remedy=remedy_for(absent.code, _last_task(site, federation)) if absent else None,
        left_out=_left_out(asked),
        rounds_trained=len(trained),
        steps=sum(one.report.steps for one in trained if one.report),
        weight=sum(one.weight or 0.0 for one in rounds) / max(1, len(federation.rounds)),
        update_norm=trained[-1].update_norm if trained else None,
        train_seconds=sum(one.report.train_seconds for one in trained if one.report),
        global_=federation.final_scores.get(site),
        local=combiner.combine(scores[site] for scores in local.values() if site in scores),
        own=local.get(site, {}).get(site) or (own.local if own else None),
        gain=(
            summarize_gain(site, last, federation, baselines)
            if has_own_models(federation, baselines)
            else None
        ),
        pooled=None if baselines is None else baselines.pooled.get(site),
    )


def _intervals(tested: SiteRound | None) -> dict[str, ScoreInterval]:
    return dict(tested.report.intervals) if tested is not None and tested.report is not None else {}


def _compared_sites(federation: FederationRecord) -> list[str]:
    """The hospitals over which rounds are compared: means over others would differ with who is missing.

    They are those that validated the last model that was kept. Test scores say nothing here: a hospital with
    a test set may have no validation set.
    """
    validations = (one.scores for one in reversed(federation.rounds) if one.rolled_back is None)
    last = next((scores for scores in validations if scores), federation.initial_scores)
    return sorted(last.keys() - set(federation.excluded))


def _summarize_round(record: RoundRecord, compared: Sequence[str], combiner: SiteCombiner) -> RoundSummary:
    tasks = [one.report.task_seconds for one in record.sites.values() if one.report]
    return RoundSummary(
        number=record.number,
        seconds=record.seconds,
        overhead_seconds=record.seconds - max(tasks) if tasks else None,
        scores=combiner.over(compared, record.scores),
        rolled_back=record.rolled_back,
        sites={
            site: _summarize_part(one, record.scores.get(site)) for site, one in sorted(record.sites.items())
        },
    )


def _summarize_part(one: SiteRound, scores: Scores | None) -> SiteInRound:
    return SiteInRound(
        outcome=one.outcome,
        reason=one.reason,
        code=one.code,
        weight=one.weight or 0.0,
        steps=one.report.steps if one.report else 0,
        loss=one.report.loss if one.report else None,
        update_norm=one.update_norm,
        seconds=one.report.task_seconds if one.report else None,
        scores=scores,
    )


def _left_out(asked: Sequence[SiteRound]) -> dict[str, Count]:
    """The cases left out as the hospital said last, with a report or as it declined."""
    said = [
        one.report.left_out if one.report else one.left_out for one in asked if one.report or one.left_out
    ]
    return said[-1] if said else {}


def _asked_by_site(federation: FederationRecord) -> dict[str, list[SiteRound]]:
    """Each site that was ever asked, with what became of each task, in order."""
    asked: dict[str, list[SiteRound]] = defaultdict(list)
    for sites in [
        federation.preparation,
        *(record.sites for record in federation.rounds),
        federation.validation_sites,
        federation.final_sites,
        federation.best_sites,
    ]:
        for site, one in sites.items():
            asked[site].append(one)
    return dict(sorted(asked.items()))


def _last_task(site: str, federation: FederationRecord) -> str:
    """The last task that a site was asked for, as `remedy_for` names it."""
    if site in federation.final_sites or site in federation.best_sites:
        return "test"
    return "validate" if site in federation.validation_sites else "train"


def _reports_by_site(federation: FederationRecord) -> dict[str, list[SiteReport]]:
    """Each site that was ever asked, with its reports in the order they came."""
    return {
        site: [one.report for one in asked if one.report]
        for site, asked in _asked_by_site(federation).items()
    }


def _total_traffic(reports: Sequence[SiteReport]) -> SiteTraffic:
    return SiteTraffic(
        sent=_total_count([report.bytes_sent for report in reports]),
        received=_total_count([report.bytes_received for report in reports]),
    )


def _total_count(counter: Sequence[int]) -> int:
    """Read a counter that starts again from 0 when the site's process does."""
    before_restarts = sum(last for last, following in pairwise(counter) if following < last)
    return before_restarts + (counter[-1] if counter else 0)
