"""Comparison of two rounds' models over the sites that evaluated both on their validation patients."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Final, Literal, TypeAlias, get_args

from consilium.aggregation.shares import limited_shares
from consilium.counts import counted
from consilium.errors import ConfigurationError
from consilium.records.federation import FederationRecord, SiteRound
from consilium.tasks.metrics import Metric

SelectionRule: TypeAlias = Literal["median", "mean", "worst_site", "patients"]
"""How the best round's model is selected from its scores on the sites' validation patients.

`median` of the sites' differences, `mean` of the sites' scores, the score at the `worst_site`, or the mean
over all `patients`, where a site counts by how many it has.
"""

DEFAULT_SELECTION: Final[SelectionRule] = "median"

SELECTION_TEXTS: Final[Mapping[SelectionRule, str]] = {
    "median": "the median of the sites' differences",
    "mean": "the mean over sites",
    "worst_site": "the worst site's score",
    "patients": "the mean over sites, weighted by validation patients",
}

_LARGEST_WEIGHT: Final = 0.5
"""Of one site among three or more, as its number of patients is only what it reports."""


@dataclass(frozen=True)
class PairedDifference:
    """Differences of two models in the key metric, by site.

    Every site has one vote, whatever its number of patients, as that number is only what it reports. A site
    that did not evaluate both models counts as unchanged, so a missing site can neither cause a change nor
    make it easier for the others to cause one.

    The median is what limits a site that reports false scores: while fewer than half of the sites do, the
    result is within the range of the honest ones (and "unchanged"). A mean would move by up to 1/n with
    one score of 1.0. For three or four sites the median is the mean without the highest and the lowest. The
    price is that a large change at a minority of sites, true or not, does not count.

    Attributes:
        by_site: By how much it is better at each site that evaluated both models; negative where worse.
        sites: Number of sites that count; see `scoring_sites`.
    """

    by_site: Mapping[str, float]
    sites: int

    @property
    def median(self) -> float:
        """The median over all sites; for two sites it is the mean, and either can decide."""
        return statistics.median(self._votes())

    @property
    def upper_median(self) -> float:
        """The largest value that more than half of the sites do not exceed; for two sites the larger one."""
        return statistics.median_high(self._votes())

    @property
    def basis(self) -> str:
        """The sites in words: `3 sites, 1 of which did not evaluate both and counts as unchanged`."""
        absent = self.sites - len(self.by_site)
        text = counted(self.sites, "site")
        if not absent:
            return text
        return f"{text}, {absent} of which did not evaluate both and count{'s' * (absent == 1)} as unchanged"

    def _votes(self) -> list[float]:
        return [*self.by_site.values(), *[0.0] * (self.sites - len(self.by_site))]


def paired_difference(record: FederationRecord, number: int, other: int) -> PairedDifference | None:
    """Compare the models of two rounds over the sites that evaluated both.

    Args:
        record: Of the job; excluded sites do not count.
        number: The round whose model is compared; 0 is the initial model.
        other: The round to compare it with.

    Returns:
        The differences; None if no more than half of the sites that count evaluated both models.
    """
    scores, others = key_scores(record, number), key_scores(record, other)
    common = sorted(scores.keys() & others.keys())
    sites = len(scoring_sites(record))
    if 2 * len(common) <= sites:
        return None
    gain = record.metrics.key_metric.gain
    return PairedDifference({site: gain(scores[site], others[site]) for site in common}, sites)


def parse_selection(rule: str) -> SelectionRule:
    """Return a selection rule by its name.

    Raises:
        ConfigurationError: If there is none of this name.
    """
    for known in get_args(SelectionRule):
        if rule == known:
            return rule  # type: ignore[return-value]
    raise ConfigurationError(f"selection is {rule!r}; allowed: {', '.join(get_args(SelectionRule))}.")


def selection_gain(record: FederationRecord, number: int, other: int, rule: SelectionRule) -> float | None:
    """Return by how much a round's model is better than another's by a rule.

    Args:
        record: Of the job; excluded sites do not count.
        number: The round.
        other: The round to compare it with.
        rule: By which. But for the median, where a missing site counts as unchanged, models are compared only
            if all sites that count evaluated both.

    Returns:
        The gain; None if the models can't be compared.
    """
    if rule == "median":
        difference = paired_difference(record, number, other)
        return None if difference is None else difference.median
    scores, others = key_scores(record, number), key_scores(record, other)
    sites = sorted(scoring_sites(record))
    if not sites or scores.keys() != set(sites) or others.keys() != set(sites):
        return None
    patients = {site: validation_patients(record, site) for site in sites}
    return score_gain(scores, others, rule, record.metrics.key_metric, patients)


def score_gain(
    scores: Mapping[str, float],
    others: Mapping[str, float],
    rule: SelectionRule,
    key: Metric,
    patients: Mapping[str, int],
) -> float:
    """Return by how much a model is better than another by a rule, where the same sites scored both.

    Args:
        scores: The model's key scores, by site.
        others: Those of the other model, of the same sites.
        rule: See `selection_gain`.
        key: The metric.
        patients: How many validation patients the sites have.
    """
    gains = {site: key.gain(score, others[site]) for site, score in scores.items()}
    if rule == "median":
        return statistics.median(gains.values())
    if rule == "worst_site":
        worst = [min(one.values(), key=lambda score: key.gain(score, 0.0)) for one in (scores, others)]
        return key.gain(*worst)
    if rule == "mean":
        return fmean(gains.values())
    shares = limited_shares({site: patients[site] for site in gains}, _LARGEST_WEIGHT)
    return sum(share * gains[site] for site, share in shares.items())


def validation_patients(record: FederationRecord, site: str) -> int:
    """Return how many validation patients a site said that it has when it first did, 0 if it never did.

    The first word counts for the whole job, so that all rounds are compared with the same weights.
    """
    stages: list[Mapping[str, SiteRound]] = [record.preparation, *(one.sites for one in record.rounds)]
    for stage in stages:
        report = stage[site].report if site in stage else None
        if report is not None and report.validation_patients:
            return report.validation_patients
    return 0


def scoring_sites(record: FederationRecord) -> set[str]:
    """Return the sites that count in comparisons: all that sent a key score of any model, if not excluded."""
    return set[str]().union(*(key_scores(record, number) for number in range(len(record.rounds) + 1)))


def key_scores(record: FederationRecord, number: int) -> dict[str, float]:
    """Return the key score of a round's model by site, without excluded sites; 0 is the initial model."""
    key = record.metrics.key
    return {
        site: scores[key]
        for site, scores in model_scores(record, number).items()
        if key in scores and site not in record.excluded
    }


def model_scores(record: FederationRecord, number: int) -> dict[str, dict[str, float]]:
    """Return all scores of a round's model, by site; 0 is the initial model."""
    return record.initial_scores if number == 0 else record.rounds[number - 1].scores


def kept_round(record: FederationRecord, number: int) -> int:
    """Return the last round up to a number whose model was not dropped; 0 is the initial model."""
    kept = (one.number for one in reversed(record.rounds[:number]) if one.rolled_back is None)
    return next(kept, 0)
