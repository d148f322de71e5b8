"""One POC of real processes: the command line, the console of the lead data scientist, crash and Ctrl-C."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect
import psutil
import pytest
import yaml

from consilium.federation.monitoring.published_metrics import METRICS, PREFIX, SITE_METRICS
from consilium.federation.server.user_session import open_session
from consilium.federation.versions import component_versions
from consilium.poc.command import PocError
from consilium.poc.federation import Poc
from consilium.processes import stop_process_tree
from consilium.recipes.catalog import build_recipe, export_job
from consilium.records.federation import FederationRecord
from consilium.records.job_record import load_record
from consilium.records.site_status import SiteStatus, read_site_status

from .accounts import everything_in, open_to_others
from .interrupts import press_ctrl_c, processes_of, started
from .studies import ANY_NUMBER, DEADLINE_SECONDS, ENVIRONMENT, export, read_if_there, read_json, wait_until

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SITES = {"aster": "north", "birch": "south", "dahlia": "clinic"}
OTHER_VERSION = "9.9.9"
SCIENTIST, ASTER_ADMIN = "scientist@consortium.example", "it@aster.example"


@dataclass(frozen=True)
class RunningPoc:
    out: Path
    hospitals: Path
    job: Path
    home: Path

    def command(self, *words: str) -> list[str]:
        return [str(Path(sys.executable).with_name("consilium")), *words]

    def environment(self) -> dict[str, str]:
        """The user's, with the programs beside this Python found first."""
        programs = str(Path(sys.executable).parent)
        return {
            **ENVIRONMENT,
            "HOME": str(self.home),
            "PATH": os.pathsep.join([programs, os.environ["PATH"]]),
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


@pytest.fixture(scope="module")
def laptop(hospitals: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> RunningPoc:
    """All that a POC needs; nothing runs yet."""
    folder = tmp_path_factory.mktemp("poc")
    archive = folder / "hospitals"
    for site, name in SITES.items():
        shutil.copytree(hospitals[name], archive / site)
    (folder / "home").mkdir()
    return RunningPoc(folder / "out", archive, export(folder / "jobs"), folder / "home")


@pytest.fixture(scope="module")
def daemon() -> Iterator[socket.socket]:
    """Plays the StatsD daemon to which the server sends its jobs' metrics."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**22)
        daemon.bind(("127.0.0.1", 0))
        daemon.setblocking(False)
        yield daemon


def _of_few_patients(file: Path, metrics_port: int | None = None) -> Path:
    """Write the POC's project file with hospitals that take part with however few patients."""
    project = yaml.safe_load((ROOT / "poc/project.yml").read_text())
    for participant in project["participants"]:
        if participant["type"] == "client":
            participant["consilium"].update(ANY_NUMBER)
    if metrics_port is not None:
        policy = next(entry for entry in project["builders"] if entry["path"].endswith("SitePolicyBuilder"))
        policy["args"] = {"metrics": {"host": "127.0.0.1", "port": metrics_port}}
    file.write_text(yaml.safe_dump(project))
    return file


@pytest.fixture(scope="module")
def poc(laptop: RunningPoc, daemon: socket.socket) -> Iterator[RunningPoc]:
    try:
        project = _of_few_patients(laptop.home.parent / "project.yml", daemon.getsockname()[1])
        started = laptop.poc("up", "--hospitals", str(laptop.hospitals), "--project", str(project))
        assert started.returncode == 0, started.stderr
        yield laptop
    finally:
        Poc(laptop.out).end()


def test_the_server_and_all_sites_run(poc: RunningPoc) -> None:
    status = poc.poc("status", "--json")
    assert status.returncode == 0, status.stdout
    state = json.loads(status.stdout)
    assert set(state["processes"]) == {"server", *SITES}
    assert all(state["processes"].values())
    assert state["jobs"] == []


def test_the_table_of_rights_is_what_a_hospital_s_admin_meets(poc: RunningPoc) -> None:
    """docs/rights.md, which is made from the policy; here the processes are asked."""
    with open_session(Poc(poc.out).kits / ASTER_ADMIN) as session:
        answers = {
            command: str(session.api.do_command(command))
            for command in (
                "check_status client birch", "sys_info client aster", "sys_info client birch",
                "sys_info server", "cat aster log.txt", "shutdown client aster",
            )
        }  # fmt: skip
    refused = {command for command, answer in answers.items() if "not authorized" in answer}
    unknown = {command for command, answer in answers.items() if "is not available at a site" in answer}
    assert refused == {"sys_info client birch", "sys_info server"}
    assert unknown == {"cat aster log.txt", "shutdown client aster"}


def test_the_user_s_own_flare_settings_are_not_touched(poc: RunningPoc) -> None:
    assert not (poc.home / ".nvflare").exists()


def test_a_second_start_says_how_to_stop_the_first(poc: RunningPoc) -> None:
    second = poc.poc("up", "--hospitals", str(poc.hospitals))
    assert second.returncode == 2
    assert "runs already" in second.stderr
    assert "consilium poc down" in second.stderr


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


@pytest.fixture(scope="module")
def session(poc: RunningPoc) -> ConsoleSession:
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


def test_no_other_account_can_open_what_a_poc_has_written(poc: RunningPoc, session: ConsoleSession) -> None:
    """Its kits with all logs, the root key, the caches and what a user's console has downloaded."""
    written = [path for name in ("flare", "cache") for path in everything_in(poc.out / name)]
    names = {path.name for path in written}
    assert names >= {"cert.json", "server.key", "log.txt", "image.npy", session.job_id}
    assert open_to_others([poc.out, *written]) == {}


def test_a_job_from_the_console_to_the_report(
    poc: RunningPoc, session: ConsoleSession, tmp_path: Path
) -> None:
    assert all(site in session.clients for site in SITES)
    assert "FINISHED:COMPLETED" in session.listed
    assert "this site rejects the command" in session.tail
    report = poc.run("report", str(session.result), "--out", str(tmp_path / "report"))
    assert report.returncode == 0, report.stderr
    assert "success" in report.stderr
    content = read_json(tmp_path / "report/report.json")
    assert content["status"] == "finished"
    assert set(content["summary"]["global"]) >= {"dice", "dice_tc", "dice_wt", "dice_et"}
    assert set(content["sites"]) == set(SITES)


def test_the_lead_reads_the_server_s_log_of_a_job_and_no_hospital_s(
    poc: RunningPoc, session: ConsoleSession
) -> None:
    def read_logs(user: str) -> dict[str, str]:
        words = ("job", "logs", session.job_id, "--sites", "all", "--max-bytes", str(2**24))
        kit = str(Poc(poc.out).kits / user)
        logs: dict[str, str] = Poc(poc.out).flare.run(*words, "--startup-kit", kit, timeout=DEADLINE_SECONDS)[
            "logs"
        ]
        return logs

    logs = read_logs(SCIENTIST)
    assert set(logs) == {"server"}
    assert "round 2 of 2" in logs["server"]
    cases = {path.name for site in SITES for path in (poc.hospitals / site).iterdir()}
    assert [word for word in (str(poc.hospitals), *cases) if word in logs["server"]] == []
    with pytest.raises(PocError, match="not authorized for 'get_job_log'"):
        read_logs(ASTER_ADMIN)


def test_a_readiness_check_from_its_submission_to_the_table(poc: RunningPoc, tmp_path: Path) -> None:
    checked = poc.poc("submit", str(export_job(build_recipe("brain_tumor_check"), tmp_path)))
    assert checked.returncode == 0, checked.stderr
    assert "success" in checked.stderr
    for site in SITES:
        assert re.search(rf"{site} +(train|evaluate \(own choice\)) ", checked.stderr)
    assert "Who is ready to train" in Path(checked.stdout.strip()).read_text()


def test_statistics_from_their_submission_to_the_page(poc: RunningPoc, tmp_path: Path) -> None:
    job = export_job(build_recipe("brain_tumor_stats", {"min_count": 2}), tmp_path)
    ended = poc.poc("submit", str(job))
    assert ended.returncode == 0, ended.stderr
    assert "success" in ended.stderr
    result = Path(ended.stdout.strip()).parents[1]
    again = poc.run("report", str(result), "--out", str(tmp_path / "report"))
    assert again.returncode == 0, again.stderr
    assert "What the hospitals' data look like" in (tmp_path / "report/index.html").read_text()


def test_a_site_that_is_killed_while_it_trains_alone_goes_on_and_says_what_it_gains(
    poc: RunningPoc, tmp_path: Path
) -> None:
    job = export(tmp_path, {"rounds": 3, "learning.local_steps": 40})
    kit = Poc(poc.out).kits / "aster"
    done = {one.job_id for one in read_site_status(kit)}
    with subprocess.Popen(
        poc.command("poc", "submit", str(job), "--local-only", "--out", str(poc.out)),
        env=poc.environment(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as submit:
        try:
            alone: list[SiteStatus] = []
            wait_until(
                lambda: submit.poll() is not None or _trains_alone(kit, done, alone), "a site trains alone"
            )
            assert alone, "the job ended before a site was seen training alone"
            os.kill(alone[0].process, signal.SIGKILL)
            stdout, stderr = submit.communicate(timeout=DEADLINE_SECONDS)
        finally:
            stop_process_tree(submit.pid)
    assert submit.returncode == 0, stderr
    record = load_record(Path(stdout.strip()).parents[1])
    assert isinstance(record, FederationRecord)
    assert record.gains.keys() == {"aster", "birch"}  # dahlia only evaluates
    log = read_if_there(Path(alone[0].log))
    assert re.search(r"resuming the local-only model after round [12] of 3", log)
    kept = poc.out / "cache/aster/runs" / alone[0].job_id / "local_only"
    assert list(kept.glob("*.safetensors"))
    shown = poc.run("status", "--site", str(kit))
    assert "the one trained here alone" in shown.stdout
    assert str(kept) in shown.stdout


def _trains_alone(kit: Path, done: set[str], seen: list[SiteStatus]) -> bool:
    """Whether a site works on a later round of its own model, in a job that was not there before."""
    seen += [
        one
        for one in read_site_status(kit)
        if one.job_id not in done and re.match(r"training alone, round [23]", one.state)
    ]
    return bool(seen)


def test_a_site_of_another_version_refuses_and_the_job_that_the_check_admits_goes_on(
    poc: RunningPoc, tmp_path: Path
) -> None:
    _start_with_another_version(poc, "dahlia", tmp_path)
    demanding = export(tmp_path, {"rounds": 1, "admission.min_ready": 2})
    seen: list[dict[str, Any]] = []
    with subprocess.Popen(
        poc.command("poc", "submit", str(demanding), "--out", str(poc.out)),
        env=poc.environment(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as submit:
        try:
            wait_until(
                lambda: submit.poll() is not None or _sees_all_sites(poc, seen), "a running job is seen"
            )
            stdout, stderr = submit.communicate(timeout=DEADLINE_SECONDS)
        finally:
            stop_process_tree(submit.pid)
    ended = subprocess.CompletedProcess(submit.args, submit.returncode, stdout, stderr)
    assert ended.returncode == 1, ended.stderr
    assert seen, "the job ended before it was seen running"
    assert seen[0]["status"] == "RUNNING"
    assert set(seen[0]["progress"]["sites"]) >= set(SITES)
    assert "partial" in ended.stderr
    ours = component_versions()["consilium"]
    reason = f"versions do not fit: consilium {OTHER_VERSION} here and {ours} there"
    assert f"dahlia is not part of it: {reason}" in ended.stderr
    report = read_json(Path(ended.stdout.strip()).with_name("report.json"))
    outcomes = {site: one["outcome"] for site, one in report["rounds"][0]["sites"].items()}
    assert outcomes == {"aster": "trained", "birch": "trained", "dahlia": "refused"}
    assert reason in report["rounds"][0]["sites"]["dahlia"]["reason"]


def _sees_all_sites(poc: RunningPoc, seen: list[dict[str, Any]]) -> bool:
    """Look at the jobs that run, as the lead does."""
    kit = str(Poc(poc.out).kits / SCIENTIST)
    told = poc.run("status", "--kit", kit, "--json")
    assert told.returncode in (0, 1), told.stderr
    if not told.stdout:
        return False  # the server was too busy to answer in time, and the command said so
    seen += [
        job for job in json.loads(told.stdout) if set((job["progress"] or {}).get("sites", {})) >= set(SITES)
    ]
    return bool(seen)


def test_users_and_hospitals_are_told_how_the_last_job_ended(poc: RunningPoc) -> None:
    kits = Poc(poc.out).kits

    def outcome() -> dict[str, Any] | None:
        told = poc.run("status", "--kit", str(kits / ASTER_ADMIN), "--json")
        ended: dict[str, Any] | None = json.loads(told.stdout)[0]["ended"]
        return ended

    wait_until(lambda: outcome() is not None, "the server says how the job ended")
    told = outcome()
    assert told is not None
    assert told["kind"] == "partial"
    assert "dahlia is not part of it: versions do not fit" in " ".join(one["text"] for one in told["reasons"])
    for site, line in (
        ("aster", "this site trained in 1 round"),
        ("dahlia", "this site declined: versions"),
    ):
        hospital = poc.run("status", "--site", str(kits / site))
        assert hospital.returncode == 1, hospital.stderr
        assert "the job ended partially" in hospital.stdout
        assert line in hospital.stdout
    unknown = poc.run("status", "--kit", str(kits / SCIENTIST), "deadbeef")
    assert (unknown.returncode, "knows no job 'deadbeef'" in unknown.stderr) == (2, True)


def test_the_server_has_sent_the_metrics_of_its_jobs_and_no_hospital_has(
    poc: RunningPoc, daemon: socket.socket
) -> None:
    lines = []
    with suppress(BlockingIOError):
        while True:
            lines += daemon.recv(65_535).decode().split()
    values = {line.split("|")[0].partition(":")[0] for line in lines}
    failures = {f"{PREFIX}_absences"}  # nobody was too late
    assert values >= {f"{PREFIX}_{name}" for name in METRICS} - failures
    assert not values & {f"{PREFIX}_{name}" for name in SITE_METRICS}
    assert any(line.startswith(f"{PREFIX}_refusals:1|c|") and "site:dahlia" in line for line in lines)


def _stop_in_order(poc: RunningPoc, site: str) -> None:
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


def _start_with_another_version(poc: RunningPoc, site: str, folder: Path) -> None:
    """Start a site again, in an environment in which another version of Consilium is installed."""
    installed = folder / f"consilium-{OTHER_VERSION}.dist-info/METADATA"
    installed.parent.mkdir()
    installed.write_text(f"Metadata-Version: 2.1\nName: consilium\nVersion: {OTHER_VERSION}\n")
    kit = Poc(poc.out).kits / site
    _stop_in_order(poc, site)
    joined, log = "Successfully registered client", kit / "log.txt"
    before = read_if_there(log).count(joined)
    python_path = filter(None, [os.environ.get("PYTHONPATH")])
    subprocess.run(
        [str(kit / "startup/start.sh")],
        env={**poc.environment(), "PYTHONPATH": os.pathsep.join([str(folder), *python_path])},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
        timeout=DEADLINE_SECONDS,
    )
    wait_until(lambda: read_if_there(log).count(joined) > before, f"{site} has joined again")


def test_down_after_the_server_crashed_in_a_job(poc: RunningPoc) -> None:
    kits = Poc(poc.out).kits
    server = kits / "server"
    started_before = set(server.glob("*/progress.json"))
    with subprocess.Popen(
        poc.command("poc", "submit", str(poc.job), "--out", str(poc.out)),
        env=poc.environment(),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as submit:
        try:
            wait_until(lambda: bool(set(server.glob("*/progress.json")) - started_before), "the job starts")
            processes = processes_of(kits)
            asked = poc.run("site", "stop", str(server))
            assert (asked.returncode, "is in a job" in asked.stderr) == (1, True)
            assert all(process.is_running() for process in processes)
            for process in processes:
                if "/server" in " ".join(process.cmdline()):
                    process.kill()
            _, stderr = submit.communicate(timeout=DEADLINE_SECONDS)
        finally:
            submit.kill()
    assert submit.returncode == 2, stderr
    assert "consilium poc down" in stderr
    down = poc.poc("down")
    assert down.returncode == 0, down.stderr
    assert processes_of(kits) == []
    _, alive = psutil.wait_procs(processes, timeout=DEADLINE_SECONDS)
    assert alive == []
    assert poc.poc("status").returncode == 1


def test_ctrl_c_in_the_middle_of_a_job_stops_everything(laptop: RunningPoc, tmp_path: Path) -> None:
    out, log = tmp_path / "poc", tmp_path / "stderr.txt"
    words = ["run", str(laptop.job), "--hospitals", str(laptop.hospitals), "--out", str(out)]
    project = _of_few_patients(tmp_path / "project.yml")
    with started(laptop.command("poc", *words, "--project", str(project)), log) as process:
        wait_until(
            lambda: any(out.glob("flare/*/*/server/*/progress.json")) or process.poll() is not None,
            "the job starts",
        )
        assert process.poll() is None, log.read_text()
        running = processes_of(out / "flare")
        assert len(running) > 2 * (1 + len(SITES))  # scripts, parents, and the job's processes
        code, _ = press_ctrl_c(process)
    said = log.read_text()
    assert code == 130, said
    assert "stopped; nothing runs on. The same command starts again" in said
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(running, timeout=DEADLINE_SECONDS)
    assert alive == []
    assert processes_of(out) == []
    assert "nothing was running" in laptop.run("poc", "down", "--out", str(out)).stderr


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

    def __enter__(self) -> "Console":
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
