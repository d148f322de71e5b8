"""A POC below one folder: started, asked, given jobs, and stopped even after a crash."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from consilium.poc.command import FlareCommand, PocError, answer
from consilium.poc.processes import ParticipantProcess, find_processes, stop_processes, uninterrupted
from consilium.poc.project import Project
from consilium.report.progress import JobProgress, describe_progress, read_progress

_PREPARE_SECONDS = 180.0
_START_SECONDS = 180.0
_STOP_SECONDS = 90.0
_ANSWER_SECONDS = 180.0
_SECONDS_BETWEEN_LOOKS = 1.0
_COMPLETED = "FINISHED:COMPLETED"


@dataclass(frozen=True)
class JobState:
    """A job as the server lists it.

    Attributes:
        job_id: FLARE's id.
        name: Of the job.
        status: FLARE's, such as `RUNNING` or `FINISHED:COMPLETED`.
        progress: Round and sites, while it runs.
    """

    job_id: str
    name: str
    status: str
    progress: str | None = None


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
    jobs: list[JobState] | None

    def as_json(self) -> dict[str, Any]:
        """Return it for `json.dumps`."""
        return asdict(self)


class Poc:
    """A POC; everything lies below one folder.

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
            PocError: If it runs already, or does not start; nothing runs on then.
        """
        if self._project_file.exists() and self._processes():
            raise PocError(
                f"the POC in {self.folder} runs already: {self.command('status')} shows it, "
                f"{self.command('down')} stops it, and another --out starts one beside it"
            )
        local = project.on_this_machine(hospitals, self.caches)
        local.write(self._project_file)
        self.flare.run("poc", "prepare", "-i", str(self._project_file), "--force", timeout=_PREPARE_SECONDS)
        try:
            self.flare.run("poc", "start", timeout=_START_SECONDS)
        except BaseException:
            self._end()
            raise
        return local

    def status(self) -> PocStatus:
        """Return what runs.

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
            try:
                jobs = self._jobs()
            except PocError:
                jobs = None
        return PocStatus(parents == found.keys(), project.ports, found, jobs)

    def submit(self, job: Path) -> str:
        """Submit a job as the lead data scientist; returns its id.

        Raises:
            PocError: If the server does not run or refuses the job.
        """
        self._require_server()
        lead = self.project().lead
        data = self.flare.run(
            "job", "submit", "-j", str(job.resolve()), "--kit-id", lead, timeout=_ANSWER_SECONDS
        )
        return str(data["job_id"])

    def wait(self, job_id: str, show: Callable[[str], None]) -> str:
        """Wait for the end of a job; returns FLARE's status of it.

        Args:
            job_id: The job.
            show: Called with a line about rounds and sites, again and again.

        Raises:
            PocError: If the server is gone, or does not know the job.
        """
        words = ("job", "wait", job_id, "--kit-id", self.project().lead)
        with self.flare.start(*words) as process:
            try:
                while process.poll() is None:
                    progress = self._progress(job_id)
                    show(describe_progress(progress) if progress else "the job waits for its processes")
                    self._require_server()
                    try:
                        process.wait(_SECONDS_BETWEEN_LOOKS)
                    except subprocess.TimeoutExpired:
                        continue
            except BaseException:
                process.kill()
                raise
            assert process.stdout is not None  # it is a pipe
            output = process.stdout.read()
        try:
            return str(answer(words, output)["status"])
        except PocError:
            for job in self._jobs():  # FLARE calls a failed job a failed command
                if job.job_id == job_id and job.status.startswith("FINISHED"):
                    return job.status
            raise

    def download(self, job_id: str) -> Path:
        """Download a job's result into `results/`; returns its folder.

        Raises:
            PocError: If the server does not run, or the job has not ended.
        """
        self._require_server()
        self.results.mkdir(parents=True, exist_ok=True)
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
        with uninterrupted():  # who presses Ctrl-C once more shall not be left with half of them
            while processes := self._processes():  # a script may have restarted its process in between
                stop_processes(processes)

    def _processes(self) -> list[ParticipantProcess]:
        project = self.project()
        return find_processes(self.kits, (project.server, *project.sites))

    def _require_server(self) -> None:
        server = self.project().server
        processes = self._processes()
        if not processes:
            raise PocError(f"the POC in {self.folder} is down; {self.command('up')} starts it")
        if not any(one.is_parent and one.participant == server for one in processes):
            raise PocError(
                f"the POC's server does not run: {self.command('down')} clears up what is left, and "
                f"{self.command('up')} starts it again; its log is {self.kits / server / 'log.txt'}"
            )

    def _jobs(self) -> list[JobState]:
        listed = self.flare.run("job", "list", "-r", "--kit-id", self.project().lead, timeout=_ANSWER_SECONDS)
        jobs = []
        for one in listed or []:
            progress = self._progress(one["job_id"]) if one["status"] == "RUNNING" else None
            line = describe_progress(progress) if progress else None
            jobs.append(JobState(one["job_id"], one["job_name"], one["status"], line))
        return jobs

    def _progress(self, job_id: str) -> JobProgress | None:
        return read_progress(self.kits / self.project().server / job_id)


def is_completed(status: str) -> bool:
    """Return whether FLARE's status of a job says that it ran to its end."""
    return status == _COMPLETED
