"""What a hospital demands of a job, and what its patients have spent, in words."""

from __future__ import annotations

from collections.abc import Iterator

from consilium.counts import counted
from consilium.report.privacy.facts import JobFacts, SiteFacts, TrainingFacts


def describe_budget(job: JobFacts, site: SiteFacts) -> Iterator[str]:
    """Yield the hospital's demand and the state of its ledger, a sentence or two each.

    Args:
        job: The job.
        site: What the hospital decides.
    """
    if not site.is_known:
        yield (
            "A hospital's own: it may demand noise, a largest epsilon, a number of hospitals or secure "
            "aggregation, and keeps a ledger of what its patients have spent. With the option --kit they are "
            "shown here."
        )
        return
    kind = job.of_kind
    if isinstance(kind, TrainingFacts) and site.role == "trains":
        yield f"Of jobs that train, {site.name} demands {site.demand.describe()}."
        shortfall = site.demand.shortfall(kind.promise, sites=kind.min_sites)
        if shortfall is not None:
            yield f"It would decline this job before any case is read: {shortfall}."
    else:
        yield "This job trains on none of its patients, so it spends nothing of their budget."
    yield from _ledger(site)
    yield from _hospital(site)
    if site.withdraws:
        yield (
            "No job that begins from now on uses a case of a patient on its list of withdrawals "
            "(withdrawn_patients); one that runs continues with the cases that it began with. As long as "
            "their files are in the folder, label files are opened to determine what label values mean."
        )


def _ledger(site: SiteFacts) -> Iterator[str]:
    limit, budget = site.demand.epsilon, site.budget
    allowed = "no limit" if limit is None else f"epsilon {limit:g}"
    yield (
        f"Budget of each patient for all jobs together, for ever: {allowed}, at delta {site.demand.delta:g} "
        "(“privacy” in local/privacy.json)."
    )
    if budget is not None and budget.jobs_without_noise:
        without = counted(budget.jobs_without_noise, "job")
        yield (
            f"{without} without noise trained on its patients: nothing bounds what was revealed about them, "
            "and no budget counts it. The numbers below are of jobs with noise."
        )
    if budget is None or not budget.payments:
        yield "Nothing was spent yet: no job with differential privacy by patient has trained here."
        return
    left = "" if limit is None else f"; at most {max(limit - budget.spent, 0.0):.3g} is left for that patient"
    yield (
        f"Spent by the patient who has spent most: {budget.spent:.3g}, in "
        f"{counted(budget.payments, 'payment')} of {counted(budget.jobs, 'job')}{left}. Epsilons don't add "
        "up: before a job begins, the site computes what it would make of them, and declines it above the "
        "budget."
    )
    yield f"Last entry of the ledger: {budget.head}. A ledger that was replaced by an older one has another."


def _hospital(site: SiteFacts) -> Iterator[str]:
    """Noise whose unit is the hospital: kept apart from what is about patients."""
    noise, budget = site.hospital_noise, site.budget
    if noise is not None:
        limit = "no limit" if noise.epsilon is None else f"epsilon {noise.epsilon:g}"
        yield (
            f"The unit of the following noise is the hospital, not a patient: {site.name} scales each whole "
            f"update down to the norm {noise.clip:g} and adds Gaussian noise of {noise.noise_multiplier:g} "
            "times that norm in every direction, whatever the job (hospital_noise), unless the sum of secure "
            "aggregation has as much. It hides how far this hospital as a whole moved the model. Training "
            "losses and scores of validation patients stay. It doesn't count as a protection of patients."
        )
        yield f"Budget of the hospital for all jobs together: {limit}, at delta {noise.delta:g}."
    if budget is not None and budget.hospital_spent is not None:
        yield f"Spent of the hospital as a whole so far: epsilon {budget.hospital_spent:.3g}."
