"""Jobs that a site has accepted and their signatures, in a file at the site."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError

from consilium.data.files import write_atomically
from consilium.errors import JobRejected, RefusalCode
from consilium.federation.safe_names import JobId
from consilium.guard.job_meta import DECIDED, DeployedMeta
from consilium.guard.signatures import Signature
from consilium.settings import Settings

ACCEPTED_FILE: Final = "accepted_jobs.json"
"""In the site's workspace: the accepted jobs, with their signatures' digests."""

COPY_DAYS: Final = 60
"""For how long after its first job a signature counts with copies and resumptions of it."""

JOB_DAYS: Final = 30
"""For how long after a job first came it may come again and be started: where a site falls out of a job, it
is started there again, and a job over slow lines may take weeks."""

MAX_JOBS: Final = 10_000
"""That a site remembers; those whose signer's certificate has run out are forgotten first."""

_SECONDS_PER_DAY: Final = 24 * 60 * 60


class _AcceptedJob(Settings):
    """An accepted job."""

    signatures: tuple[str, ...] = Field(description="SHA-256 of the signatures on its configurations.")
    first: float = Field(description="When these came first, with whatever job, in seconds since 1970.")
    expires: float = Field(description="When the signer's certificate does, in seconds since 1970.")
    came: float | None = Field(
        None, description="When this job came first, in seconds since 1970; unknown of jobs before that."
    )
    decided: str | None = Field(
        None, description="SHA-256 of what stays the same in its description; unknown of jobs before that."
    )


class _JobList(Settings):
    jobs: dict[JobId, _AcceptedJob]


class AcceptedJobs:
    """Persistent record of accepted jobs and their signatures.

    Args:
        workspace: The site's.
    """

    _lock = threading.Lock()

    def __init__(self, workspace: Path) -> None:
        self._path = workspace / ACCEPTED_FILE

    def accept(self, signature: Signature, meta: DeployedMeta) -> None:
        """Let a signature count for a job, and remember that.

        The same job may come again for some days: a server that was killed before the job ran deploys it
        once more.

        Raises:
            JobRejected: If it came with another job before and this one is not a copy of that, or too
                late; if this job came with another signature or description, or too long ago; if the file
                can't be read or written.
        """
        with self._lock:
            now = time.time()
            jobs = {job_id: job for job_id, job in self._read().items() if job.expires > now}
            same = jobs.get(meta.job_id)
            if same is not None:
                _check_same(same, signature, meta, now)
            jobs[meta.job_id] = _AcceptedJob(
                signatures=signature.digests,
                first=_first_use(jobs, signature, meta, now) if same is None else same.first,
                expires=signature.expires,
                came=now if same is None else _came(same),
                decided=_digest(meta),
            )
            if len(jobs) > MAX_JOBS:
                raise JobRejected(
                    f"this site remembers {MAX_JOBS} jobs and takes no other; its IT department can move "
                    f"{ACCEPTED_FILE} away",
                    code=RefusalCode.JOB_MEMORY,
                )
            self._write(jobs)

    def check_start(self, meta: DeployedMeta) -> None:
        """Check that a job to start was accepted recently, with the same description.

        Raises:
            JobRejected: If not, or if the file can't be read.
        """
        with self._lock:
            job = self._read().get(meta.job_id)
        now = time.time()
        if job is None or job.expires <= now:
            raise JobRejected(
                f"job {meta.job_id} is none that this site has accepted; submit it again",
                code=RefusalCode.JOB_UNKNOWN,
            )
        _check_recent(job, meta, now)

    def _read(self) -> dict[str, _AcceptedJob]:
        try:
            return dict(_JobList.model_validate_json(self._path.read_bytes()).jobs)
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError) as error:
            raise JobRejected(
                f"this site can't read its {ACCEPTED_FILE} ({type(error).__name__}); its IT department can "
                "restore it, or move it away",
                code=RefusalCode.JOB_MEMORY,
            ) from None

    def _write(self, jobs: dict[str, _AcceptedJob]) -> None:
        try:
            write_atomically(self._path, _JobList(jobs=jobs).model_dump_json(indent=1).encode())
        except OSError as error:
            raise JobRejected(
                f"this site can't write its {ACCEPTED_FILE} ({type(error).__name__})",
                code=RefusalCode.JOB_MEMORY,
            ) from None


def _check_same(same: _AcceptedJob, signature: Signature, meta: DeployedMeta, now: float) -> None:
    if same.signatures != signature.digests:
        raise JobRejected(
            f"job {meta.job_id} came to this site before, with another signature",
            code=RefusalCode.JOB_REPEATED,
        )
    _check_recent(same, meta, now)


def _check_recent(job: _AcceptedJob, meta: DeployedMeta, now: float) -> None:
    if now - _came(job) > JOB_DAYS * _SECONDS_PER_DAY:
        raise JobRejected(
            f"job {meta.job_id} came to this site more than {JOB_DAYS} days ago",
            code=RefusalCode.JOB_REPEATED,
        )
    if job.decided is not None and job.decided != _digest(meta):
        raise JobRejected(
            f"job {meta.job_id} came to this site before, with another description",
            code=RefusalCode.JOB_REPEATED,
        )


def _came(job: _AcceptedJob) -> float:
    return job.first if job.came is None else job.came


def _digest(meta: DeployedMeta) -> str:
    decided = meta.model_dump(mode="json", include=set(DECIDED))
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()


def _first_use(
    jobs: Mapping[str, _AcceptedJob], signature: Signature, meta: DeployedMeta, now: float
) -> float:
    """When a signature came first; it may come with this job."""
    earlier = {job_id: job for job_id, job in jobs.items() if set(job.signatures) & set(signature.digests)}
    if not earlier:
        return now
    first = min(job.first for job in earlier.values())
    if not earlier.keys() & {meta.cloned_from, meta.resume}:
        raise JobRejected(
            f"its signature came with job {next(iter(earlier))} before, and this job is not a copy of that; "
            "submit it again",
            code=RefusalCode.JOB_REPEATED,
        )
    if now - first > COPY_DAYS * _SECONDS_PER_DAY:
        raise JobRejected(
            f"its signature is more than {COPY_DAYS} days old; submit it again instead of a copy",
            code=RefusalCode.JOB_REPEATED,
        )
    return first
