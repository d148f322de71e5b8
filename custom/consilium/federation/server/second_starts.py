"""Register of the sites that were started in two places, published to the server's users."""

from __future__ import annotations

import time
from threading import Lock
from typing import Any, Final

from nvflare.apis.fl_constant import SystemComponents
from nvflare.apis.fl_context import FLContext

from consilium.federation.message_names import SECOND_STARTS_META
from consilium.records.job_status import SecondStart

_SECONDS_REMEMBERED = 60.0
"""A waiting second start asks again every ten seconds."""


class SecondStarts:
    """Sites that were started twice, published in the metadata of running jobs."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[SecondStart, float]] = {}
        self._published: dict[str, dict[str, Any]] = {}
        self._lock = Lock()

    def note(self, site: str, first: str, second: str) -> SecondStart:
        """Record that a second start of a site requests to join.

        Args:
            site: Its name.
            first: Where the first runs.
            second: Where the second runs.
        """
        now = time.time()
        with self._lock:
            known, _ = self._seen.get(site, (None, 0.0))
            since = known.since if known is not None and known.second == second else now
            one = SecondStart(first=first, second=second, since=since)
            self._seen[site] = (one, now)
        return one

    def current(self) -> dict[str, SecondStart]:
        """Return the sites whose second start asked within the last minute."""
        oldest = time.time() - _SECONDS_REMEMBERED
        with self._lock:
            self._seen = {site: seen for site, seen in self._seen.items() if seen[1] > oldest}
            return {site: one for site, (one, _) in self._seen.items()}

    def publish(self, jobs: list[str], fl_ctx: FLContext) -> None:
        """Write changes into the metadata of jobs, for every user who may list jobs.

        They include users of other hospitals, so addresses are left out; the logs of server and site have
        them.

        Args:
            jobs: The ids of the jobs that run.
            fl_ctx: FLARE's context.
        """
        now = {site: one.without_addresses().model_dump(mode="json") for site, one in self.current().items()}
        self._published = {job: one for job, one in self._published.items() if job in jobs}
        for job in jobs:
            if self._published.get(job, {}) != now:
                manager = fl_ctx.get_engine().get_component(SystemComponents.JOB_MANAGER)
                manager.update_meta(job, {SECOND_STARTS_META: now}, fl_ctx)
                self._published[job] = now


second_starts: Final = SecondStarts()
"""Of this process: connections are rejected long before components are built."""
