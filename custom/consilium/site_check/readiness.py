"""All checks of a site, in the order in which to fix their findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from consilium.data.case_format import Progress
from consilium.participant.site_settings import SiteSettings
from consilium.provisioning.kit import Kit
from consilium.site_check.credentials import check_credentials
from consilium.site_check.dataset import CASES, LABELS, check_dataset
from consilium.site_check.disk import check_disk
from consilium.site_check.finding import SiteFinding, Status
from consilium.site_check.gpu import GPU_MEMORY, check_capacity, check_gpu_memory
from consilium.site_check.job import SiteJob
from consilium.site_check.kit_start import check_kit_start
from consilium.site_check.machine import (
    SHARED_MEMORY,
    check_account,
    check_clock,
    check_shared_memory,
)
from consilium.site_check.modes import check_modes
from consilium.site_check.network import check_network
from consilium.site_check.privacy_demand import check_privacy
from consilium.site_check.rights import check_byoc, check_rights
from consilium.site_check.secure_aggregation import check_secure_aggregation
from consilium.site_check.site_policy import check_resources, check_scope, check_tasks
from consilium.site_check.software import check_software

FORMAT = 1
"""Raised when the meaning of a key in `Readiness.as_json` changes."""


@dataclass(frozen=True)
class Readiness:
    """Findings of all checks of a site.

    Attributes:
        site: The site's name.
        project: The federation's name.
        job: The job whose demand memory and disk were compared with.
        findings: One for each check, always the same ids in the same order.
    """

    site: str
    project: str
    job: str
    findings: tuple[SiteFinding, ...]

    @property
    def ready(self) -> bool:
        """Whether nothing failed."""
        return all(finding.status is not Status.FAILED for finding in self.findings)

    def as_json(self, *, cases: bool = False) -> dict[str, Any]:
        """Return the findings as JSON values.

        Args:
            cases: Add the lines that name cases, files and folders. Such output has to stay in the hospital.
        """
        return {
            "format": FORMAT,
            "site": self.site,
            "project": self.project,
            "job": self.job,
            "ready": self.ready,
            "checks": [
                {
                    "id": finding.id,
                    "title": finding.title,
                    "status": finding.status.value,
                    "seen": finding.seen,
                    "remedy": finding.remedy,
                    "data": dict(finding.data),
                    **({"details": [*finding.details, *finding.cases]} if cases else {}),
                }
                for finding in self.findings
            ],
        }


def check_site(
    kit: Kit,
    job: SiteJob,
    *,
    offline: bool = False,
    on_finding: Callable[[SiteFinding], None] = lambda finding: None,
    progress: Progress | None = None,
) -> Readiness:
    """Run every check. Nothing is written anywhere, and nothing is started but `python3` and `timedatectl`.

    Args:
        kit: The site's startup kit.
        job: The job whose demands are checked.
        offline: Skip what needs the network.
        on_finding: Called with each finding.
        progress: Called with each label that was read.
    """
    findings: list[SiteFinding] = []
    said: dict[str, str] = {}
    for found in _run(kit, job, offline=offline, progress=progress):
        finding = found
        if found.remedy is not None:
            first = said.setdefault(found.remedy, found.title)
            if first != found.title:
                finding = replace(found, remedy=f"as for: {first}")
        findings.append(finding)
        on_finding(finding)
    return Readiness(kit.site_name, kit.project, job.name, tuple(findings))


def _run(kit: Kit, job: SiteJob, *, offline: bool, progress: Progress | None) -> Iterator[SiteFinding]:
    yield from check_credentials(kit)
    yield check_kit_start(kit)
    yield from check_resources(kit, job)
    yield check_byoc(kit)
    yield check_rights(kit)
    scope, site = check_scope(kit, job)
    yield scope
    yield check_tasks(site)
    site = site.for_task(job.learning.task) if site else None
    yield check_privacy(site, job)
    yield check_secure_aggregation(kit, site, job)
    yield from check_modes(kit, site)
    yield from check_software(kit)
    yield from check_network(kit, offline=offline)
    yield from _check_machine(kit, site, job, progress)
    yield check_clock()
    yield check_account()


def _check_machine(
    kit: Kit, site: SiteSettings | None, job: SiteJob, progress: Progress | None
) -> Iterator[SiteFinding]:
    """What depends on the site's settings: data, GPU, disk, shared memory."""
    cohort = None
    if site is None:
        why = "this is the server's kit" if kit.kind == "server" else "the site's settings can't be used"
        yield CASES.skipped(why)
        yield LABELS.skipped(why)
        yield check_capacity(kit, job)
        yield GPU_MEMORY.skipped(why)
        yield SHARED_MEMORY.skipped(why)
    else:
        findings, cohort = check_dataset(site, job.learning, job.algorithm, progress=progress)
        yield from findings
        yield check_capacity(kit, job)
        yield check_gpu_memory(kit, site, job)
        yield check_shared_memory(kit, site, job)
    yield from check_disk(kit, site, cohort, job)
