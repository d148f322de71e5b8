"""Gains and losses of hospitals compared with their local-only models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from consilium.learning.bootstrap import FEWEST_PATIENTS
from consilium.records.federation import BaselineRecord, FederationRecord, SiteReport
from consilium.records.gain import Gain
from consilium.report.training.study import GainSummary, Standing, StudyReport

FEW_PATIENTS: Final = 10
"""Patients below which an interval means little, and the report says so."""

NOT_COMPARED: Final[Standing] = "not compared"


def has_own_models(federation: FederationRecord, baselines: BaselineRecord | None) -> bool:
    """Return whether hospitals were to train a model alone, so that there is something to compare with."""
    return bool(federation.local_only) or (baselines is not None and bool(baselines.local))


def summarize_gain(
    site: str, report: SiteReport | None, federation: FederationRecord, baselines: BaselineRecord | None
) -> GainSummary:
    """Return where the federation leaves one hospital.

    A hospital without a model of its own, and one without a score, is not compared: it is not a gain.

    Args:
        site: The hospital.
        report: What it reported last.
        federation: What the server wrote down.
        baselines: The local-only models of a simulation.
    """
    simulated = baselines.gains if baselines is not None else {}
    gain = simulated.get(site) or federation.gains.get(site)
    of_key = gain.gains.get(federation.metrics.key) if gain else None
    if gain is None or of_key is None or site in federation.excluded:
        return GainSummary(standing=NOT_COMPARED, why=_why_not(site, report, federation))
    return GainSummary(
        standing=standing_of(of_key),
        why=_why_inconclusive(gain.patients, of_key),
        patients=gain.patients,
        mean=of_key.mean,
        low=of_key.low,
        high=of_key.high,
    )


def interval_or_range(
    low: float | None, high: float | None, patients: Sequence[float]
) -> tuple[float, float] | None:
    """Return the interval; where it is of too few patients, their range, which it would be close to.

    Args:
        low: Lower end of the interval, if there is one.
        high: Its upper end.
        patients: What single patients gain, where the report stays with them; else none.
    """
    if low is not None and high is not None:
        return low, high
    return (min(patients), max(patients)) if len(patients) > 1 else None


def few_patients(report: StudyReport) -> list[str]:
    """Return the hospitals that are compared on so few patients that it means little."""
    gains = {site: one.gain for site, one in report.sites.items()}
    return [site for site, gain in gains.items() if gain and gain.patients and gain.patients < FEW_PATIENTS]


def sites_that(report: StudyReport, standing: Standing) -> list[str]:
    """Return the hospitals with a standing, the largest gain first."""
    found = {
        site: one.gain for site, one in report.sites.items() if one.gain and one.gain.standing == standing
    }
    return sorted(found, key=lambda site: (-(found[site].mean or 0.0), site))


def standing_of(gain: Gain) -> Standing:
    """Return whether a gain is one, by its interval.

    Unclear without an interval: of four patients, all agree by chance in one of eight.
    """
    if gain.low is None or gain.high is None or gain.low <= 0 <= gain.high:
        return "unclear"
    return "gains" if gain.low > 0 else "loses"


def _why_inconclusive(patients: int, gain: Gain) -> str | None:
    if gain.low is not None:
        return None
    if patients < FEWEST_PATIENTS:
        return f"an interval takes at least {FEWEST_PATIENTS} patients"
    return "no interval of so few leaves the hospital"


def _why_not(site: str, report: SiteReport | None, federation: FederationRecord) -> str:
    if site in federation.excluded:
        return "it was excluded from training"
    if report is None:
        return "it has no part in the job"
    if report.role == "evaluates":
        return "it only evaluates, and has no model of its own"
    scored_cases = federation.scored_cases(report)
    if scored_cases is None:
        return f"too few {federation.scored_on} patients: its scores stay there"
    if scored_cases == 0:
        return f"it has no {federation.scored_on} patient"
    answer = federation.local_only.get(site)
    if answer is not None and answer.reason:
        return answer.reason.rstrip(".")
    if site not in federation.final_scores:
        return "it did not evaluate the final model"
    return "it has no model of its own"
