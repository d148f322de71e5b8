"""Check of the site's disks: room for preprocessed cases, logs and checkpoints."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path

from consilium.counts import counted
from consilium.data.cohort import Cohort
from consilium.learning.estimate import GIB, disk_need
from consilium.participant.site_settings import SiteSettings
from consilium.provisioning.kit import Kit
from consilium.site_check.finding import SiteCheck, SiteFinding
from consilium.site_check.job import SiteJob

CACHE_DISK = SiteCheck("machine.cache_disk", "Disk for preprocessed cases")
WORKSPACE_DISK = SiteCheck("machine.workspace_disk", "Disk for logs and checkpoints")


def check_disk(kit: Kit, site: SiteSettings | None, cohort: Cohort | None, job: SiteJob) -> list[SiteFinding]:
    """Check that cache and workspace can be written and have room for what the job is estimated to write."""
    need = disk_need(cohort.cases if cohort else (), job.learning)
    workspace = _evaluate_disk(WORKSPACE_DISK, kit.root, "the kit's folder", need.workspace)
    if site is None or cohort is None:
        why = "this is the server's kit" if kit.kind == "server" else "the cases can't be counted"
        return [CACHE_DISK.skipped(f"{why}, so there is nothing to estimate from"), workspace]
    present = _folder_bytes(site.cache_dir)
    if site.cache_gib is not None and site.cache_gib * GIB < need.cache:
        return [
            CACHE_DISK.warning(
                f"cache_gib is {site.cache_gib:g}, and {counted(len(cohort.cases), 'case')} take up to "
                f"{need.cache / GIB:.1f} GiB (estimate: whole images for {job.learning.summary})",
                f"set cache_gib in local/privacy.json to {math.ceil(need.cache / GIB)}",
                data={"needed_gib_estimate": round(need.cache / GIB, 2), "limit_gib": site.cache_gib},
            ),
            workspace,
        ]
    return [
        _evaluate_disk(CACHE_DISK, site.cache_dir, "cache_dir", max(0, need.cache - present)),
        workspace,
    ]


def _evaluate_disk(subject: SiteCheck, folder: Path, what: str, needed: int) -> SiteFinding:
    present = folder
    while not present.exists() and present != present.parent:
        present = present.parent
    if not os.access(present, os.W_OK | os.X_OK):
        return subject.failed(
            f"the account that runs this check may not write to {what}",
            f"let the account that runs FLARE write there: chown it with {what} as the argument",
            details=[f"{present} may not be written"],
        )
    free = shutil.disk_usage(present).free
    data = {"needed_gib_estimate": round(needed / GIB, 2), "free_gib": round(free / GIB, 2)}
    seen = f"{free / GIB:.1f} GiB free, {_need(needed)}"
    if free < needed:
        return subject.failed(
            seen, f"make room, or choose a larger disk for {what}", data=data, details=[f"disk of {present}"]
        )
    return subject.ok(seen, data=data)


def _need(needed: int) -> str:
    if needed == 0:
        return "and nothing more is needed"
    if needed < 0.05 * GIB:
        return "less than 0.1 GiB needed (estimate)"
    return f"up to {needed / GIB:.1f} GiB needed (estimate)"


def _folder_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*/*") if file.is_file())
