"""Estimate of how many sites on this machine can train."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from consilium.counts import count_patients, counted
from consilium.data.case_format import Progress
from consilium.data.checks import CheckedCohort
from consilium.data.sources import SourceIndex
from consilium.errors import ConfigurationError, DataError
from consilium.federation.site.assessment import expect_role
from consilium.participant.case_admission import site_case_format
from consilium.participant.site_cases import read_site_cohort, recall_site_cohort
from consilium.participant.site_settings import SiteSettings
from consilium.recipes.exported_job import ExportedJob
from consilium.tasks import get_task


@dataclass(frozen=True)
class _Site:
    """Expected role of one site, and its description."""

    trains: bool
    seen: str


def require_enough_sites(
    sites: Mapping[str, SiteSettings], job: ExportedJob, show: Callable[[str], None], *, keep: bool
) -> tuple[str, ...]:
    """Reject a job for which too few sites have patients to train on, before anything starts.

    Images are not looked at, so a site may have fewer usable patients in the end than counted here, never
    more.

    Args:
        sites: Site name to what the hospital decides.
        job: The job.
        show: Shown which site is looked at, and how far that is.
        keep: Whether what is read of labels is kept in the sites' caches, where the job finds it.

    Returns:
        A sentence for each site that will not train although that was not requested.

    Raises:
        ConfigurationError: With what every site can do, and what to change.
    """
    found = {}
    for name, site in sites.items():
        show(f"{name}: looking for its cases")
        found[name] = _assess_site(
            site.for_task(job.learning.task), job, partial(_show_count, show, name), keep=keep
        )
    able = [name for name, site in found.items() if site.trains]
    absent = [name for name in job.mandatory_sites if name in found and name not in able]
    if len(able) >= job.min_sites and not absent:
        return tuple(
            f"{name} will not train: {site.seen}"
            for name, site in found.items()
            if not site.trains and sites[name].role != "evaluates"
        )
    lack = f"without mandatory {', '.join(absent)}" if absent else f"and min_sites is {job.min_sites}"
    lines = "".join(f"\n  {name}: {site.seen}" for name, site in found.items())
    if len(sites) < job.min_sites:
        raise ConfigurationError(
            f"{counted(len(sites), 'site')} {'is' if len(sites) == 1 else 'are'} given, and the job needs "
            f"{job.min_sites} that train (min_sites); nothing was started{lines}\n"
            "Name more with --site NAME=FOLDER, or, where the algorithm allows fewer, lower what the job "
            "asks for (`consilium jobs export NAME --set min_sites=N`)"
        )
    raise ConfigurationError(
        f"{counted(len(able), 'site')} can train, {lack}; nothing was started{lines}\n"
        "Give the sites more labeled patients, or, to try things out on one machine, lower what the sites "
        "ask for (`--min-patients 1`; at a hospital min_training_patients in local/privacy.json) or what the "
        "job asks for (`consilium jobs export NAME --set min_sites=N`, "
        "`--set quorum.mandatory_sites=[]`)"
    )


def _show_count(show: Callable[[str], None], name: str, done: int, total: int, what: str) -> None:
    show(f"{name}: {what}, {done} of {total}")


def _assess_site(site: SiteSettings, job: ExportedJob, progress: Progress, *, keep: bool) -> _Site:
    case_format, folders = (
        site_case_format(site, get_task(job.learning.task), job.learning),
        (site.cache_dir,),
    )
    index = SourceIndex(site.cache_dir) if keep else SourceIndex(also=folders)
    try:
        index.begin()
        cohort = read_site_cohort(site, case_format, index=index, progress=progress)
        known = recall_site_cohort(cohort, site, case_format, index=index, folders=folders)
        checked = known or CheckedCohort(cohort, ())
        expected = expect_role(checked, site, job.learning, job.algorithm)
    except (ConfigurationError, DataError, OSError) as error:
        return _Site(trains=False, seen=f"{error}")
    labeled = [case for case in checked.cohort.cases if case.labeled]
    cases = f"{counted(len(labeled), 'labeled case')} of {counted(count_patients(labeled), 'patient')}"
    if expected.can == "train":
        return _Site(trains=True, seen=f"it can train, with {cases}")
    why = expected.refusal.public_reason if expected.refusal else f"it can only {expected.can}"
    return _Site(trains=False, seen=f"{why} ({cases}, some of them to validate or test on)")
