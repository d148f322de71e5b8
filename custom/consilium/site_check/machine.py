"""Check of the machine: shared memory, clock and account."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from consilium.counts import counted
from consilium.errors import ConfigurationError
from consilium.learning.estimate import shared_memory_bytes
from consilium.participant.site_settings import SiteSettings
from consilium.provisioning.kit import Kit
from consilium.site_check.finding import SiteCheck, SiteFinding
from consilium.site_check.job import SiteJob

SHARED_MEMORY = SiteCheck("machine.shared_memory", "Shared memory")
CLOCK = SiteCheck("machine.clock", "Clock is in sync")
ACCOUNT = SiteCheck("machine.account", "Account is not root")

MIB = 2**20
_SHM = Path("/dev/shm")  # noqa: S108 - it is measured, nothing is written


def check_shared_memory(kit: Kit, site: SiteSettings, job: SiteJob) -> SiteFinding:
    """Check `/dev/shm`, over which processes that cut patches hand their batches to the trainer."""
    try:
        processes = job.processes_at(kit.site_name, site)
        free = shutil.disk_usage(_SHM).free
    except ConfigurationError:
        return SHARED_MEMORY.skipped("local/privacy.json asks for more processes than there are GPUs")
    except OSError:
        return SHARED_MEMORY.skipped("this system has no /dev/shm")
    workers = site.loader_workers * processes
    needed = shared_memory_bytes(job.share_of_process(processes), workers)
    data = {"needed_mib": round(needed / MIB), "free_mib": round(free / MIB)}
    loaders = counted(workers, "loader worker")
    seen = f"{free / MIB:.0f} MiB free in /dev/shm, {needed / MIB:.0f} MiB needed by {loaders}"
    if free < needed:
        return SHARED_MEMORY.failed(
            seen,
            "in a container, start it with --shm-size=8g or --ipc=host; else set loader_workers to 0 in "
            "local/privacy.json",
            data=data,
        )
    return SHARED_MEMORY.ok(seen, data=data)


def check_clock() -> SiteFinding:
    """Check whether the system says that its clock follows a time server."""
    try:
        answer = subprocess.run(
            ["timedatectl", "show", "--property=NTPSynchronized", "--value"],  # noqa: S607 - as the PATH says
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return CLOCK.skipped(
            "timedatectl gives no answer (a container?), and FLARE's server shows no time: on the host, try "
            "timedatectl"
        )
    if answer == "yes":
        return CLOCK.ok("the system's clock follows a time server", data={"ntp_synchronized": True})
    return CLOCK.warning(
        "the system's clock follows no time server; the validity of certificates depends on it",
        "timedatectl set-ntp true",
        data={"ntp_synchronized": False},
    )


def check_account() -> SiteFinding:
    """Check that the site would not run as root."""
    if os.geteuid() == 0:
        return ACCOUNT.warning(
            "this check runs as root; a site needs no such rights",
            "make an account for FLARE, give it the kit (chown -R), and run check and start.sh as it",
        )
    return ACCOUNT.ok(f"user id {os.geteuid()}")
