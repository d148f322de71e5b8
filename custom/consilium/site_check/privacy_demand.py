"""Check of what a hospital demands for its patients, against what a job offers."""

from __future__ import annotations

from consilium.counts import counted
from consilium.errors import ConsiliumError
from consilium.participant.hospital_payments import describe_uncovered
from consilium.participant.ledger_summary import summarize_ledger
from consilium.participant.site_settings import SiteSettings
from consilium.site_check.finding import SiteCheck, SiteFinding
from consilium.site_check.job import SiteJob

PRIVACY = SiteCheck("policy.privacy", "Job meets this site's privacy demands")


def check_privacy(site: SiteSettings | None, job: SiteJob) -> SiteFinding:
    """Check that a job offers what the hospital demands, and that its ledger can be used.

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
    return PRIVACY.ok(f"it demands {demand.describe()}{budget}{hidden}; {withdrawn}", data=data)
