"""Orderly stop of the server or a hospital on its own machine."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from consilium.errors import ConsiliumError
from consilium.guard.kit_processes import KitProcess, find_processes
from consilium.guard.workspace_lock import STATE_FILES
from consilium.processes import end_processes, ignore_interrupts, is_running
from consilium.provisioning.kit import Kit
from consilium.records.site_status import STATUS_FOLDER, read_site_status

GRACE_SECONDS: Final = 20.0
"""How long a process may take to end by itself before it is killed."""

_SECONDS_BETWEEN_LOOKS: Final = 1.0

_SUBMITTED: Final = ".nvflare_slurm/jobs/*"
"""Where FLARE's launcher keeps what belongs to the jobs that it has in Slurm."""


class StopError(ConsiliumError):
    """A site could not be stopped."""


class JobRuns(ConsiliumError):
    """A stop that was declined because a job is running.

    Attributes:
        jobs: The ids of those that run.
    """

    def __init__(self, jobs: Sequence[str]) -> None:
        super().__init__(f"{', '.join(jobs)} runs, and nothing was stopped; --when-idle waits for the end")
        self.jobs = tuple(jobs)


@dataclass(frozen=True)
class EndedProcess:
    """A process that was ended.

    Attributes:
        pid: Process id.
        what: What it was, for a person.
        killed: Whether it had to be killed, as it did not end in time.
    """

    pid: int
    what: str
    killed: bool


def running_jobs(kit: Kit) -> list[str]:
    """Return the ids of the jobs whose processes run from a kit, on this machine or in Slurm."""
    processes = find_processes(kit.root)
    here = {job for one in processes if (job := _job(one)) is not None}
    return sorted(here | (_submitted(kit) if processes else set()))


def _submitted(kit: Kit) -> set[str]:
    """Return the jobs that a running site has in Slurm: each has a folder named by the hash of its id."""
    keys = {path.name for path in kit.root.glob(_SUBMITTED)}
    return {
        path.name for path in kit.root.iterdir() if hashlib.sha256(path.name.encode()).hexdigest() in keys
    }


def wait_until_idle(kit: Kit, show: Callable[[str], None]) -> None:
    """Return when no job runs at a site, however long that takes.

    Args:
        kit: The site's.
        show: Called with a line about the jobs that run, repeatedly.
    """
    while jobs := running_jobs(kit):
        show(f"waiting for the end of {', '.join(jobs)}")
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def stop_site(kit: Kit, *, jobs_too: bool = False, grace: float = GRACE_SECONDS) -> list[EndedProcess]:
    """End all processes that run from a kit: scripts first, then the parent process, then those of jobs.

    The scripts would start the parent process again. A hospital's parent process logs out of the
    federation (`consilium.federation.site.logout`). What has not ended after the grace period is killed.

    Args:
        kit: The site's.
        jobs_too: Whether to stop also while a job runs.
        grace: Seconds before processes are killed.

    Returns:
        What has ended, in this order; empty if nothing ran.

    Raises:
        JobRuns: If a job runs and `jobs_too` is false; nothing was stopped.
        StopError: If a process belongs to another account, or survives.
    """
    if not jobs_too and (jobs := running_jobs(kit)):
        raise JobRuns(jobs)
    running = {one.job_id for one in read_site_status(kit.root) if one.ended is None and not one.lost}
    ended: list[EndedProcess] = []
    with ignore_interrupts():  # half a stop would leave a site that starts again, or a job without a parent
        while found := find_processes(kit.root):  # a script may have started another one in between
            before = len(ended)
            ended += _end(found, grace)
            if len(ended) == before:
                raise StopError(f"process {', '.join(str(one.pid) for one in found)} does not end")
    for name in STATE_FILES:
        (kit.root / name).unlink(missing_ok=True)
    _close_records(kit.root, running)
    return ended


def _close_records(workspace: Path, jobs: set[str]) -> None:
    """Note in the site's records of jobs that its part has ended: FLARE kills their processes."""
    for status in read_site_status(workspace):
        if status.job_id in jobs and status.lost:
            with suppress(OSError), _write_as_owner(workspace / STATUS_FOLDER):
                status.model_copy(update={"ended": time.time()}).save(workspace)


@contextmanager
def _write_as_owner(folder: Path) -> Iterator[None]:
    """Write as a folder's owner if run by root, so that the site can still write there."""
    if os.geteuid() != 0:
        yield
        return
    found, user, group, groups = folder.stat(), os.geteuid(), os.getegid(), os.getgroups()
    try:
        os.setgroups([])
        os.setegid(found.st_gid)
        os.seteuid(found.st_uid)
        yield
    finally:
        os.seteuid(user)
        os.setegid(group)
        os.setgroups(groups)


def _end(found: Iterable[KitProcess], grace: float) -> list[EndedProcess]:
    names: dict[psutil.Process, str] = {}
    stages: list[list[psutil.Process]] = [[], [], []]
    for one in found:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(one.pid)
            if process.create_time() != one.since:
                continue  # another one has the number by now
            stages[_stage(one)].append(process)
            names[process] = _describe(one)
            # A script has FLARE's process, which is found by itself, and a `sleep` of seconds.
            for child in process.children(recursive=True) if _stage(one) else ():
                names.setdefault(child, f"helper of {_describe(one)}")
    ended = [one for stage in stages for one in _end_together(stage, names, grace)]
    # What FLARE's processes have started ends with them, or now.
    return ended + _end_together([one for one in names if is_running(one)], names, grace)


def _end_together(
    processes: list[psutil.Process], names: dict[psutil.Process, str], grace: float
) -> list[EndedProcess]:
    try:
        killed, left = end_processes(processes, grace)
    except psutil.AccessDenied as error:
        owner = psutil.Process(error.pid).username()
        raise StopError(
            f"process {error.pid} belongs to the account {owner}; run this command as that account or as root"
        ) from None
    return [EndedProcess(one.pid, names[one], one in killed) for one in processes if one not in left]


def _stage(one: KitProcess) -> int:
    if one.is_parent:
        return 1
    return 0 if _job(one) is None else 2


def _describe(one: KitProcess) -> str:
    job = _job(one)
    if job is not None:
        return f"job {job}"
    return "parent process" if one.is_parent else "start script"


def _job(one: KitProcess) -> str | None:
    """Return the job of a job's process: FLARE starts it with `-n JOB_ID`."""
    try:
        line = psutil.Process(one.pid).cmdline()
    except psutil.NoSuchProcess:
        return None
    return line[line.index("-n") + 1] if "-n" in line[:-1] and not one.is_parent else None
