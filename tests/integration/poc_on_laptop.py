"""A POC of real processes on this machine, and the console of a user."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pexpect
import yaml

from consilium.poc.federation import Poc
from consilium.processes import stop_process_tree
from consilium.records.site_status import SiteStatus, read_site_status
from waiting import DEADLINE_SECONDS, wait_until

from .interrupts import processes_of
from .studies import ANY_NUMBER, ENVIRONMENT, read_if_there

ROOT = Path(__file__).parents[2]
SITES = {"aster": "north", "birch": "south", "dahlia": "clinic"}
SCIENTIST, ASTER_ADMIN = "scientist@consortium.example", "it@aster.example"
OTHER_VERSION = "9.9.9"


@dataclass(frozen=True)
class RunningPoc:
    """A POC that runs, or may.

    Args:
        out: Its folder.
        hospitals: A folder of cases for each site.
        job: A small training.
        home: The home folder of its user.
        variables: More of the environment of all that it starts.
    """

    out: Path
    hospitals: Path
    job: Path
    home: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def command(self, *words: str) -> list[str]:
        return [str(Path(sys.executable).with_name("consilium")), *words]

    def environment(self) -> dict[str, str]:
        """The user's, with the programs beside this Python found first."""
        programs = str(Path(sys.executable).parent)
        return {
            **ENVIRONMENT,
            "HOME": str(self.home),
            "PATH": os.pathsep.join([programs, os.environ["PATH"]]),
            **self.variables,
        }

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            env=self.environment(),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
        )

    def poc(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run("poc", *words, "--out", str(self.out))

    @contextmanager
    def submit(self, job: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
        """Start `consilium poc submit`, and end it with all that it started."""
        with subprocess.Popen(
            self.command("poc", "submit", str(job), *options, "--out", str(self.out)),
            env=self.environment(),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                stop_process_tree(process.pid)


def of_few_patients(file: Path, metrics_port: int | None = None) -> Path:
    """Write the POC's project file with hospitals that take part with however few patients."""
    project = yaml.safe_load((ROOT / "poc/project.yml").read_text())
    for participant in project["participants"]:
        if participant["type"] == "client":
            participant["consilium"].update(ANY_NUMBER)
            participant["consilium"].pop("test_fraction", None)  # of more patients than there are here
    if metrics_port is not None:
        policy = next(entry for entry in project["builders"] if entry["path"].endswith("SitePolicyBuilder"))
        policy["args"] = {"metrics": {"host": "127.0.0.1", "port": metrics_port}}
    file.write_text(yaml.safe_dump(project))
    return file


def stop_in_order(poc: RunningPoc, site: str) -> None:
    """Stop a site with our command, which the server learns of at once, and start.sh of nothing."""
    kit, server_log = Poc(poc.out).kits / site, Poc(poc.out).kits / "server/log.txt"
    stopped = poc.run("site", "stop", str(kit))
    assert stopped.returncode == 0, stopped.stderr
    assert re.findall(r"^(ended|killed): (.*), process", stopped.stdout, re.MULTILINE) == [
        ("ended", "start script"),
        ("ended", "parent process"),
    ]
    assert processes_of(kit) == []
    assert not list(kit.glob("*.fl"))
    assert f"Client Name:{site} left." in server_log.read_text()
    again = poc.run("site", "stop", str(kit))
    assert (again.returncode, "nothing runs" in again.stdout) == (0, True)


def start_with_another_version(poc: RunningPoc, site: str, folder: Path) -> None:
    """Start a site again, in an environment in which another version of Consilium is installed."""
    installed = folder / f"consilium-{OTHER_VERSION}.dist-info/METADATA"
    installed.parent.mkdir()
    installed.write_text(f"Metadata-Version: 2.1\nName: consilium\nVersion: {OTHER_VERSION}\n")
    stop_in_order(poc, site)
    python_path = filter(None, [os.environ.get("PYTHONPATH")])
    start_site(poc, site, {"PYTHONPATH": os.pathsep.join([str(folder), *python_path])})


def start_site(poc: RunningPoc, site: str, variables: Mapping[str, str] | None = None) -> None:
    """Start a site that was stopped or killed, as its hospital does, and wait until it has joined."""
    kit = Poc(poc.out).kits / site
    joined, log = "Successfully registered client", kit / "log.txt"
    before = read_if_there(log).count(joined)
    subprocess.run(
        [str(kit / "startup/start.sh")],
        env={**poc.environment(), **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
        timeout=DEADLINE_SECONDS,
    )
    wait_until(lambda: read_if_there(log).count(joined) > before, f"{site} has joined again")


def write_evaluation(poc: RunningPoc, session: ConsoleSession, folder: Path) -> Path:
    """Write the job that evaluates the final model of a downloaded one, with the model's file beside it."""
    model = ("--model", f"final={session.result}@final")
    exported = poc.run(
        "jobs", "export", "brain_tumor_evaluate", "--to", str(folder), *model, "--set", "min_patients=1"
    )
    assert exported.returncode == 0, exported.stderr
    return folder / "brain_tumor_evaluate"


class Console:
    """The real console of a user, in a pseudo-terminal."""

    def __init__(self, kit: Path, poc: RunningPoc) -> None:
        self._program = pexpect.spawn(
            "bash",
            [str(kit / "startup/fl_admin.sh")],
            env={**poc.environment(), "TERM": "dumb"},
            encoding="utf-8",
            timeout=DEADLINE_SECONDS,
            dimensions=(50, 300),
        )

    def __enter__(self) -> Console:
        self._program.expect("\n> ")
        return self

    def __exit__(self, *_: object) -> None:
        if self._program.isalive():
            self._program.sendline("bye")
            self._program.expect(pexpect.EOF)
        self._program.close(force=True)

    def ask(self, command: str) -> str:
        self._program.sendline(command)
        self._program.expect(r"Done \[.*?\]")
        answer = self._program.before
        self._program.expect("> ")
        assert isinstance(answer, str)
        return answer


@dataclass(frozen=True)
class ConsoleSession:
    """What the lead saw.

    Args:
        clients: The answer to `check_status client`.
        job_id: Of the job that was submitted.
        listed: The job's line once it had ended.
        tail: The answer to `tail` at a hospital.
        result: Where the console put the job's result.
    """

    clients: str
    job_id: str
    listed: str
    tail: str
    result: Path


def ask_for_a_job(poc: RunningPoc) -> ConsoleSession:
    """Submit a job at the console of the lead, and fetch its result."""
    with Console(Poc(poc.out).kits / SCIENTIST, poc) as console:
        clients = console.ask("check_status client")
        submitted = console.ask(f"submit_job {poc.job}")
        found = re.search(r"Submitted job: (\S+)", submitted)
        assert found, submitted
        job_id = found[1]
        wait_until(lambda: "FINISHED" in console.ask(f"list_jobs {job_id}"), "the job ends")
        listed = console.ask(f"list_jobs {job_id}")
        tail = console.ask("tail aster log.txt")
        downloaded = console.ask(f"download_job {job_id}")
    found = re.search(r"content downloaded to (\S+)", downloaded)
    assert found, downloaded
    return ConsoleSession(clients, job_id, listed, tail, Path(found[1]))


def trains_alone(kit: Path, done: set[str], seen: list[SiteStatus]) -> bool:
    """Whether a site works on a later round of its own model, in a job that was not there before."""
    seen += [
        one
        for one in read_site_status(kit)
        if one.job_id not in done and re.match(r"training alone, round [23]", one.state)
    ]
    return bool(seen)


def sees_all_sites(poc: RunningPoc, seen: list[dict[str, Any]]) -> bool:
    """Look at the jobs that run, as the lead does."""
    kit = str(Poc(poc.out).kits / SCIENTIST)
    reported = poc.run("status", "--kit", kit, "--json")
    assert reported.returncode in (0, 1), reported.stderr
    if not reported.stdout:
        return False  # the server was too busy to answer in time, and the command said so
    seen += [
        job
        for job in json.loads(reported.stdout)
        if set((job["progress"] or {}).get("sites", {})) >= set(SITES)
    ]
    return bool(seen)
