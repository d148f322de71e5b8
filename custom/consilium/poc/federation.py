"""A proof of concept below one folder: start, status, jobs and stop."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nvflare.fuel.flare_api.flare_api import Session

from consilium.data.files import private_folder
from consilium.federation.server.user_session import (
    ServerUnreachable,
    SessionError,
    open_session,
    read_all_jobs,
    read_job,
)
from consilium.guard.kit_processes import KitProcess, find_processes, stop_processes
from consilium.guard.start_check import is_one_word
from consilium.participant.site_settings import SiteSettings
from consilium.poc.command import FlareCommand, PocError
from consilium.poc.project import Project
from consilium.processes import ignore_interrupts
from consilium.records.job_status import NOBODY, JobStatus
from consilium.records.progress import JobProgress, describe_progress, read_progress
from consilium.secagg.local_federation import exchange_identities

_PREPARE_SECONDS = 180.0
_READY_SECONDS = 150
_START_SECONDS = 180.0
_STOP_SECONDS = 90.0
_ANSWER_SECONDS = 180.0
_NO_PROGRESS = "the job's processes are starting, or have just ended"
_SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(frozen=True)
class PocStatus:
    """What runs of a POC.

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


class Poc:
    """A POC in one folder.

    `flare/` is FLARE's POC workspace with one kit for each participant, `home/` the home folder of FLARE's
    commands, `cache/` the sites' preprocessed cases, `results/` what was downloaded.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.caches = self.folder / "cache"
        self.results = self.folder / "results"
        self._project_file = self.folder / "project.yml"
        self.flare = FlareCommand(self.folder / "flare", self.folder / "home")

    def up(self, project: Project, hospitals: Mapping[str, Path]) -> Project:
        """Provision and start the server and all sites; returns the project as it runs.

        What an earlier POC in this folder left in `flare/` is removed, with its jobs; `results/` stay.

        Args:
            project: Who takes part.
            hospitals: Site name to the folder with its cases.

        Raises:
            ConfigurationError: If a site has no folder.
            PocError: If it runs already, can't run in this folder, or does not start; nothing runs on then.
        """
        for path in (str(self.folder), sys.executable):
            if not is_one_word(path):
                raise PocError(
                    f"{path!r} has a space in it, or a quote, a backslash or '#', at which FLARE splits the "
                    "command lines of its jobs; choose another --out, or install Consilium elsewhere"
                )
        if self._project_file.exists() and self._processes():
            raise PocError(
                f"the POC in {self.folder} runs already: {self.command('status')} shows it, "
                f"{self.command('down')} stops it, and another --out starts one beside it"
            )
        local = project.on_this_machine(hospitals, self.caches)
        local.write(self._project_file)
        self.flare.run("poc", "prepare", "-i", str(self._project_file), "--force", timeout=_PREPARE_SECONDS)
        exchange_identities({site: self.kits / site / "local" for site in local.sites})
        try:
            # FLARE's 30 s are too few where the processes' imports share two cores with other work.
            self.flare.run("poc", "start", "--timeout", f"{_READY_SECONDS:d}", timeout=_START_SECONDS)
        except BaseException:  # after Ctrl-C, too, nothing runs on
            self._end()
            raise
        return local

    def status(self) -> PocStatus:
        """Return the running processes and jobs.

        Raises:
            PocError: If there never was a POC in this folder.
        """
        project = self.project()
        found: dict[str, list[int]] = {name: [] for name in (project.server, *project.sites)}
        processes = self._processes()
        for process in processes:
            found[process.participant].append(process.pid)
        parents = {process.participant for process in processes if process.is_parent}
        jobs = None
        if project.server in parents:
            with suppress(SessionError), self._session() as session:
                jobs = read_all_jobs(session)
        return PocStatus(parents == found.keys(), project.ports, found, jobs)

    def submit(self, job: Path) -> str:
        """Submit a job as the lead data scientist; returns its id.

        Raises:
            PocError: If the server does not run or rejects the job.
        """
        self.require_server()
        lead = self.project().lead
        data = self.flare.run(
            "job", "submit", "-j", str(job.resolve()), "--kit-id", lead, timeout=_ANSWER_SECONDS
        )
        return str(data["job_id"])

    def wait(self, job_id: str, show: Callable[[str], None]) -> JobStatus:
        """Wait for the end of a job; returns it, or the job that continued it after the server was killed.

        Args:
            job_id: The job.
            show: Called with a line about rounds and sites, repeatedly.

        Raises:
            PocError: If the server is gone for good, or does not know the job.
        """
        while True:
            self._watch(job_id, show)
            job = self._ask_about(job_id, show)
            if job.interruption is None or job.interruption.continued_by == NOBODY:
                return job
            if job.interruption.continued_by is not None:
                show(f"{job_id} was interrupted; {job.interruption.continued_by} continues it")
                job_id = job.interruption.continued_by

    def _watch(self, job_id: str, show: Callable[[str], None]) -> None:
        """Show a job's progress until FLARE reports its end, or no longer answers."""
        with self.flare.start("job", "wait", job_id, "--kit-id", self.project().lead) as process:
            try:
                while process.poll() is None:
                    progress = self._progress(job_id)
                    show(describe_progress(progress) if progress else _NO_PROGRESS)
                    self.require_server(may_restart=True)
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_SECONDS_BETWEEN_LOOKS)
            except BaseException:  # after Ctrl-C, too: `with` would wait for the process
                process.kill()
                raise

    def _ask_about(self, job_id: str, show: Callable[[str], None]) -> JobStatus:
        """Return a job that has ended, however long the server takes to come back."""
        while True:
            self.require_server(may_restart=True)
            try:
                with self._session() as session:
                    job = read_job(session, job_id)
            except ServerUnreachable:
                show("the server does not answer: it is busy, or its start script restarts it")
            except SessionError as error:
                raise PocError(str(error)) from error
            else:
                if job.status.startswith("FINISHED"):
                    return job
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def download(self, job_id: str) -> Path:
        """Download a job's result into `results/`; returns its folder.

        Raises:
            PocError: If the server does not run, or the job has not ended.
        """
        self.require_server()
        private_folder(self.results)
        words = ("job", "download", job_id, "-o", str(self.results), "--force")
        data = self.flare.run(*words, "--kit-id", self.project().lead, timeout=_ANSWER_SECONDS)
        return Path(data["path"])

    def down(self) -> bool:
        """Stop everything, whatever state it is in; returns whether anything ran.

        FLARE is asked first; what does not end, or Ctrl-C while FLARE is asked, is ended by process id, job
        processes of a crashed server included.

        Raises:
            PocError: If there never was a POC in this folder.
        """
        project = self.project()
        processes = self._processes()
        if not processes:
            return False
        try:
            if any(one.is_parent and one.participant == project.server for one in processes):
                with suppress(PocError):  # it stops nothing where a crash left a job RUNNING
                    self.flare.run("poc", "stop", timeout=_STOP_SECONDS)
        finally:
            self._end()
        return True

    def end(self) -> None:
        """Stop everything at once, without asking FLARE: for an interrupt."""
        if self._project_file.exists():
            self._end()

    def project(self) -> Project:
        """Return the project as it was started.

        Raises:
            PocError: If there never was a POC in this folder.
        """
        if not self._project_file.exists():
            raise PocError(f"there is no POC in {self.folder}; start one with {self.command('up')}")
        return Project.read(self._project_file)

    def sites(self) -> dict[str, SiteSettings]:
        """Return the hospitals' settings, with their processes' folders."""
        return {name: site.in_workspace(self.kits / name) for name, site in self.project().sites.items()}

    def command(self, verb: str) -> str:
        """Return a command for this POC as a message names it.

        Args:
            verb: Of `consilium poc`.
        """
        folder = self.folder
        if folder.is_relative_to(Path.cwd()):
            folder = folder.relative_to(Path.cwd())
        return f"`consilium poc {verb} --out {shlex.quote(str(folder))}`"

    @property
    def kits(self) -> Path:
        """The folder with one startup kit for each participant."""
        return self.folder / "flare" / self.project().name / "prod_00"

    def _end(self) -> None:
        with ignore_interrupts():  # who presses Ctrl-C once more shall not be left with half of them
            while processes := self._processes():  # a script may have restarted its process in between
                stop_processes(processes)

    def _processes(self) -> list[KitProcess]:
        project = self.project()
        return find_processes(*(self.kits / name for name in (project.server, *project.sites)))

    def require_server(self, *, may_restart: bool = False) -> None:
        """Look for the server.

        Args:
            may_restart: Whether its start script, which restarts it, will do.

        Raises:
            PocError: If it isn't there.
        """
        server = self.project().server
        processes = self._processes()
        if not processes:
            raise PocError(f"the POC in {self.folder} is down; {self.command('up')} starts it")
        if not any(one.participant == server and (one.is_parent or may_restart) for one in processes):
            raise PocError(
                f"the POC's server does not run: {self.command('down')} clears up what is left, and "
                f"{self.command('up')} starts it again; its log is {self.kits / server / 'log.txt'}"
            )

    def _session(self) -> AbstractContextManager[Session]:
        return open_session(self.kits / self.project().lead)

    def _progress(self, job_id: str) -> JobProgress | None:
        return read_progress(self.kits / self.project().server / job_id)
