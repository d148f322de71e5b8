"""Status of a proof of concept: its processes and jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from consilium.records.job_status import JobStatus


@dataclass(frozen=True)
class PocStatus:
    """What runs.

    Attributes:
        up: Whether the server and all sites run.
        ports: The server's.
        processes: Process ids of every participant, job processes included.
        jobs: Newest first; None when the server doesn't answer.
    """

    up: bool
    ports: tuple[int, ...]
    processes: dict[str, list[int]]
    jobs: list[JobStatus] | None

    def as_json(self) -> dict[str, Any]:
        """Return it for `json.dumps`."""
        jobs = None if self.jobs is None else [job.as_json() for job in self.jobs]
        return {"up": self.up, "ports": self.ports, "processes": self.processes, "jobs": jobs}
