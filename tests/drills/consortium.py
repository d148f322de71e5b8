"""A provisioned federation to be damaged: who runs, what is durable, how a job came to its end."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from nvflare.apis.job_def import RunStatus
from nvflare.fuel.flare_api.flare_api import Session

from consilium.guard.kit_processes import find_processes
from consilium.records.progress import JobProgress, read_progress
from integration.security.federation import LEAD, SERVER_NAME, SITES, Federation
from integration.studies import export
from waiting import wait_until

from .outcome import Outcome

OTHER_LEAD = "colleague@consortium.example"
"""A second user who may submit jobs."""

MISDEEDS = "misdeeds.json"
"""File in a site's kit: what it does to its updates, by round."""

ROUNDS = 5
DRILL_JOB = {
    "rounds": ROUNDS,
    "learning.local_steps": 12,
    "task_request_seconds": 0.5,
    "quorum.attempts": 10,
    "quorum.backoff_seconds": 2,
}

ROUNDING = 1e-6
"""Two runs of the same arithmetic differ by no more than this in any weight."""

_MOMENT_SECONDS = 0.001

_LOOKS_AT_AN_ABNORMAL_END = 10

_DEATHS_IN_A_DRILL, _LAST_DEATH = 2, 5
"""At the fifth death, each within five minutes of the one before, the script of FLARE's kits gives up."""


def export_drill_job(folder: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """Write a job with a few short rounds, in which all three hospitals train."""
    return export(folder, {**DRILL_JOB, **(changes or {})})


class Consortium:
    """A running federation, and what a person with a root shell and a console can do to it.

    Args:
        federation: The processes.
    """

    def __init__(self, federation: Federation) -> None:
        self.federation = federation
        self.kits = federation.kits
        self.submitted: list[str] = []
        self._deaths: Counter[str] = Counter()
        self._session: Session | None = None
        self._open: Any = None

    @property
    def server(self) -> Path:
        return self.kits[SERVER_NAME]

    @property
    def checkpoints(self) -> Path:
        """Where the rounds of all jobs are kept."""
        return self.server / "checkpoints"

    def processes(self, participant: str, *, job: bool | None = None) -> list[psutil.Process]:
        """Return a participant's Python processes: its parent process, those of jobs, or both."""
        found = []
        for one in find_processes(self.server.parent / participant):
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(one.pid)
                if "python" in process.name() and job in (None, not one.is_parent):
                    found.append(process)
        return found

    def signal(self, participant: str, number: signal.Signals, *, job: bool | None = None) -> None:
        """Send a signal to all of them, the parent process first: the scripts around it start it again."""
        processes = self.processes(participant, job=job)
        assert processes, f"{participant} runs no such process"
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        if number == signal.SIGKILL:
            self._deaths[participant] += not job
            psutil.wait_procs(processes, timeout=60)

    def kill(self, participant: str, *, job: bool | None = None) -> None:
        self.signal(participant, signal.SIGKILL, job=job)

    def start(self, participant: str, environment: Mapping[str, str] | None = None) -> None:
        """Start a participant and wait until it is up; all that it ran is ended first, scripts included.

        Args:
            participant: Its name.
            environment: What it is started with beside what lets it misbehave.
        """
        kit = self.kits[participant]
        self.federation.stop(kit)
        for name in ("daemon_pid.fl", "pid.fl"):  # a process that nobody has reaped looks alive to start.sh
            (kit / name).unlink(missing_ok=True)
        environment = {**self._misbehaving(participant), **(environment or {})}
        up = "Server started" if participant == SERVER_NAME else "Successfully registered client"
        with self.logged(participant) as log:
            self.federation.start(participant, environment=environment)
            wait_until(lambda: up in log(), f"{participant} has started")
        self._deaths[participant] = 0

    def make_whole(self) -> None:
        """Restart processes that died so often that their scripts could give up; wait until all are there."""
        for participant in (SERVER_NAME, *SITES):
            if self._deaths[participant] + _DEATHS_IN_A_DRILL >= _LAST_DEATH:
                self.start(participant)
        wait_until(lambda: self.connected() == set(SITES), "all sites are connected")

    def submit(self, job: Path, user: str = LEAD) -> str:
        """Submit a job as a user; returns its id."""
        if user == LEAD:
            job_id = str(self._ask(lambda session: session.submit_job(str(job))))
        else:
            with self.federation.session(user) as session:
                job_id = str(session.submit_job(str(job)))
        self.submitted.append(job_id)
        return job_id

    def abort(self, job_id: str) -> None:
        self._ask(lambda session: session.abort_job(job_id))

    def end(self, job_id: str) -> None:
        """Make sure that a job, and those that resume it, run no more."""

        def ended() -> bool:
            meta, last = self.meta(job_id), job_id
            while following := (meta.get("interruption") or {}).get("continued_by"):
                meta, last = self.meta(following), following
            if str(meta.get("status", "")).startswith("FINISHED"):
                return "interruption" not in meta
            with suppress(Exception):  # it may end at this moment
                self.abort(last)
            return False

        wait_until(ended, f"job {job_id} runs no more", pause=1)

    def meta(self, job_id: str) -> dict[str, Any]:
        """Return a job's meta data, as `list_jobs -v` shows them."""
        return dict(self._ask(lambda session: session.get_job_meta(job_id)))

    def connected(self) -> set[str]:
        return set(self._ask(self.federation.connected))

    def durable(self, job_id: str) -> int:
        """Return a job's last durable round, 0 if there is none."""
        return max(
            (int(path.stem[6:]) for path in self.checkpoints.glob(f"{job_id}/round_*.json")), default=0
        )

    def progress(self, job_id: str) -> JobProgress | None:
        return read_progress(self.server / job_id)

    def wait_for_round(self, job_id: str, number: int, *, at: str | None = None) -> None:
        """Wait until a site, or any, trains in a round, from 1."""

        def reached() -> bool:
            progress = self.progress(job_id)
            return progress is not None and (
                progress.round > number
                or (
                    progress.round == number
                    and any(
                        state.state == "training" and state.answer == "awaited"
                        for site, state in progress.sites.items()
                        if at in (None, site)
                    )
                )
            )

        wait_until(reached, f"round {number} of job {job_id}")

    def stop_at(self, job_id: str, moment: Callable[[], bool], what: str) -> None:
        """Stop the server's job process in a moment of milliseconds; `SIGSTOP` leaves it right there.

        Where the process was faster than the signal, it continues, and the next such moment is waited for.
        """
        (process,) = self.processes(SERVER_NAME, job=True)

        def caught() -> bool:
            if not moment():
                return False
            process.send_signal(signal.SIGSTOP)
            if moment():
                return True
            process.send_signal(signal.SIGCONT)
            return False

        wait_until(caught, what, pause=_MOMENT_SECONDS)

    def successor(self, job_id: str) -> str | None:
        """Return the job that resumes an interrupted one; None while there is none."""
        return (self.meta(job_id).get("interruption") or {}).get("continued_by")

    def wait_for_successor(self, job_id: str) -> str:
        successor: str = wait_until(lambda: self.successor(job_id), f"job {job_id} is continued")
        return successor

    def wait_for_end(self, job_id: str, seconds: float = 480) -> Outcome:
        """Wait for the end of a job and of those that resume it, so many seconds at most."""
        jobs, looks = [job_id], list[str]()

        def ended() -> str | None:
            meta = self.meta(jobs[-1])
            if (interruption := meta.get("interruption")) is not None:
                if interruption["continued_by"] is not None:
                    jobs.append(interruption["continued_by"])
                return None
            status = str(meta.get("status", ""))
            if status == RunStatus.FINISHED_ABNORMAL.value:  # FLARE says so before it asks who continues it
                looks.append(status)
                return status if len(looks) > _LOOKS_AT_AN_ABNORMAL_END else None
            return status if status.startswith("FINISHED") else None

        status = wait_until(ended, f"the end of job {job_id}", seconds=seconds, pause=1)
        folder = Path(self._ask(lambda session: session.download_job_result(jobs[-1]))) / "workspace"
        return Outcome(tuple(jobs), status, folder)

    @contextmanager
    def logged(self, participant: str) -> Iterator[Callable[[], str]]:
        """Give a function that returns what a participant has logged since."""
        before = len(self.federation.log_of(participant))
        yield lambda: self.federation.log_of(participant)[before:]

    def close(self) -> None:
        """Log out."""
        if self._open is not None:
            with suppress(Exception):
                self._open.__exit__(None, None, None)
        self._open = self._session = None

    def _misbehaving(self, participant: str) -> dict[str, str]:
        """Return what a site is started with, so that it can be made to misbehave; nothing for the server."""
        if participant == SERVER_NAME:
            return {}
        folders = [str(Path(__file__).with_name("misdeeds")), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            "PYTHONPATH": os.pathsep.join(folders),
            "CONSILIUM_MISDEEDS": str(self.kits[participant] / MISDEEDS),
        }

    def _ask(self, what: Callable[[Session], Any]) -> Any:
        """Ask the server, after a new login where it was killed since the last."""
        if self._session is not None:
            try:
                return what(self._session)
            except Exception:  # noqa: BLE001 - FLARE has a dozen ways to say that the server was away
                self.close()
        self._session = wait_until(self._log_in, "the server takes logins")
        return what(self._session)

    def _log_in(self) -> Session | None:
        self._open = self.federation.session(LEAD)
        try:
            session: Session = self._open.__enter__()
        except Exception:  # noqa: BLE001 - the same
            return None
        return session
