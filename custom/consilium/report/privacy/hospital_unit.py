"""Noise whose unit is the hospital: its epsilon in a job, and in all jobs of the hospital, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator

from consilium.counts import counted
from consilium.privacy.accounting import epsilon_spent
from consilium.privacy.hospital_noise import USUAL_HOSPITAL_DELTA, RoundNoise
from consilium.privacy.mechanism import SMALLEST_NOISE, SampledGaussian
from consilium.report.privacy.facts import JobFacts, SiteFacts, TrainingFacts
from consilium.report.privacy.statement import HospitalProtection
from consilium.secagg.survivor_policy import SurvivorPolicy


def hospital_protection(job: JobFacts, site: SiteFacts) -> HospitalProtection | None:
    """Return what noise promises the hospital as a whole in a job; None where no noise hides it.

    Args:
        job: The job.
        site: What the hospital decides.
    """
    kind = job.of_kind
    if not isinstance(kind, TrainingFacts) or site.role != "trains":
        return None
    own = site.hospital_noise
    noise = RoundNoise.stronger(own, _noise_of_sum(kind, site))
    if noise is None:
        return None
    delta = USUAL_HOSPITAL_DELTA if own is None else own.delta
    planned = noise.mechanism.repeat(kind.rounds)
    halved = noise.mechanism.noise_multiplier / 2  # two updates of the clipped norm are twice as far apart
    others = SampledGaussian(noise_multiplier=halved) if halved >= SMALLEST_NOISE else None
    before = site.budget.hospital_releases if site.budget else ()
    return HospitalProtection(
        noise_multiplier=noise.mechanism.noise_multiplier,
        in_sum=noise.added is None,
        epsilon=epsilon_spent([planned], delta),
        epsilon_of_other_data=epsilon_spent([others.repeat(kind.rounds)], delta) if others else None,
        delta=delta,
        allowed=None if own is None else own.epsilon,
        with_all_jobs=epsilon_spent([*before, planned], delta),
    )


def describe_hospital_guarantee(job: JobFacts, site: SiteFacts) -> Iterator[str]:
    """Yield the epsilon and delta of the hospital as a whole, a sentence or two each; nothing without noise.

    Args:
        job: The job.
        site: What the hospital decides.
    """
    kind, found = job.of_kind, hospital_protection(job, site)
    if found is None or not isinstance(kind, TrainingFacts):
        return
    rounds = counted(kind.rounds, "round")
    yield (
        f"For the hospital as a whole, not for a patient: in each of {rounds}, its update has Gaussian noise "
        f"of {found.noise_multiplier:.3g} times the norm that it is scaled down to{_source(found, site)}."
    )
    other = (
        "epsilon is too large to compute"
        if found.epsilon_of_other_data is None
        else f"epsilon is {found.epsilon_of_other_data:.3g}"
    )
    yield (
        f"Together, {rounds} have an epsilon of {found.epsilon:.3g} at a delta of {found.delta:g}, compared "
        f"with updates of zero. Compared with updates from any other data, {other}. A repeated round spends "
        "as much again."
    )
    if found.allowed is not None:
        passed = found.with_all_jobs > found.allowed
        budget = f"its budget of {found.allowed:g}"
        verdict = f"above {budget}, so it would decline this job" if passed else f"within {budget}"
        yield (
            f"With all earlier jobs, this one would bring the hospital to an epsilon of "
            f"{found.with_all_jobs:.3g}, {verdict}."
        )


def _noise_of_sum(kind: TrainingFacts, site: SiteFacts) -> float | None:
    """As the site counts it: of the honest hospitals in the smallest sum that it takes part in."""
    if kind.noise_of_one_site is None:
        return None
    return kind.noise_of_one_site * math.sqrt(_honest(site))


def _honest(site: SiteFacts) -> int:
    return site.aggregation.honest if site.aggregation else SurvivorPolicy().fewest_honest


def _source(found: HospitalProtection, site: SiteFacts) -> str:
    if not found.in_sum:
        return ", which the site adds itself (hospital_noise)"
    policy = (
        f"{site.name}'s own min_survivors and colluding_sites"
        if site.aggregation
        else "the lowest min_survivors and no colluding_sites"
    )
    honest = counted(_honest(site), "honest hospital")
    return f" in the sum of secure aggregation, where only the noise of {honest} is counted, by {policy}"
