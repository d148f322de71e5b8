"""Check of what a hospital demands for its patients, against what a job offers."""

from __future__ import annotations

from consilium.counts import counted
from consilium.errors import ConsiliumError
from consilium.participant.hospital_payments import describe_uncovered
from consilium.participant.ledger_summary import LedgerSummary, read_ledger, summarize_ledger
from consilium.participant.site_settings import SiteSettings
from consilium.privacy.accounting import epsilon_spent, is_within
from consilium.privacy.spending import hospital_mechanisms
from consilium.site_check.finding import SiteCheck, SiteFinding
from consilium.site_check.job import SiteJob

PRIVACY = SiteCheck("policy.privacy", "Job meets this site's privacy demands")


def check_privacy(site: SiteSettings | None, job: SiteJob) -> SiteFinding:
    """Check that a job offers what the hospital demands, and that its ledger can be used and has enough left.

    Args:
        site: What the hospital decides; None where that can't be read, or there is no hospital.
        job: The job.
    """
    if site is None:
        return PRIVACY.skipped("no policy of a hospital is at hand")
    demand = site.privacy
    try:
        summary = summarize_ledger(site)
    except ConsiliumError as error:
        return PRIVACY.failed(
            "the privacy ledger, or the list of withdrawn patients, can't be used; no job with differential "
            "privacy can run",
            "see the line below; `consilium ledger verify KIT` checks the ledger",
            details=[str(error)],
        )
    data = {"demand": demand.model_dump(mode="json"), "withdrawn": summary.withdrawn}
    shortfall = demand.shortfall(job.promise, sites=job.min_sites) or describe_uncovered(site, job.algorithm)
    if shortfall is not None:
        return PRIVACY.failed(
            f"this site would decline the job: {shortfall}",
            "nothing, if the hospital's demand is meant: ask the lead data scientist for a job that offers "
            "it; otherwise edit privacy or hospital_noise in local/privacy.json",
            data=data,
        )
    withdrawn = f"{counted(summary.withdrawn, 'withdrawn patient')} listed"
    budget = "" if demand.epsilon is None else f", a budget of epsilon {demand.epsilon:g} a patient"
    hidden = "" if site.hospital_noise is None else "; noise hides the hospital as a whole, not by patient"
    seen = f"it demands {demand.describe()}{budget}{hidden}; {withdrawn}"
    tight = _describe_tight_budgets(site, job, summary) if site.role == "trains" else []
    if tight:
        return PRIVACY.warning(
            f"{seen}. This site may decline the job: {'; '.join(tight)}",
            "ask the lead data scientist for fewer rounds or a smaller epsilon, or raise epsilon in "
            "local/privacy.json, which is the hospital's decision; `consilium ledger show KIT` says what was "
            "spent",
            data=data,
        )
    return PRIVACY.ok(seen, data=data)


def _describe_tight_budgets(site: SiteSettings, job: SiteJob, summary: LedgerSummary) -> list[str]:
    """Describe budgets that a job may pass.

    Whether it does is known at its start: epsilons of several jobs are together less than their sum, patients
    who have spent most need not be in training, and the noise of a sum can be stronger than the hospital's.
    """
    found = []
    promised, left = job.promise.epsilon, summary.left
    if promised is not None and left is not None and promised > left:
        found.append(
            f"it may spend epsilon {promised:g} of a patient, and {left:.3g} is left of {summary.budget:g} "
            "where most was spent"
        )
    own = site.hospital_noise
    if own is not None and own.epsilon is not None:
        before = hospital_mechanisms(read_ledger(site))
        then = (*before, own.mechanism.repeat(job.rounds))
        if not is_within(then, own.delta, own.epsilon):
            spent, after = (epsilon_spent(one, own.delta) for one in (before, then))
            found.append(
                f"its {counted(job.rounds, 'round')} would bring the hospital as a whole from epsilon "
                f"{spent:.3g} to {after:.3g}, above its budget of {own.epsilon:g}"
            )
    return found
