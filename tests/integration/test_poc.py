"""One POC of real processes: the command line, the console of the lead data scientist, and a crash."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pexpect
import psutil
import pytest

from consilium.poc.federation import Poc
from consilium.recipes.catalog import build_recipe, export_job

from .studies import DEADLINE_SECONDS, ENVIRONMENT, export, read_json, wait_until

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SITES = {"aster": "north", "birch": "south", "dahlia": "clinic"}
SCIENTIST = "scientist@consortium.example"


@dataclass(frozen=True)
class RunningPoc:
    out: Path
    hospitals: Path
    job: Path
    home: Path

    def command(self, *words: str) -> list[str]:
        return [str(Path(sys.executable).with_name("consilium")), *words]

    def environment(self) -> dict[str, str]:
        return {**ENVIRONMENT, "HOME": str(self.home)}

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
def poc(hospitals: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPoc]:
    folder = tmp_path_factory.mktemp("poc")
    archive = folder / "hospitals"
    for site, name in SITES.items():
        shutil.copytree(hospitals[name], archive / site)
    (folder / "home").mkdir()
    running = RunningPoc(folder / "out", archive, export(folder / "jobs"), folder / "home")
    try:
        started = running.poc("up", "--hospitals", str(archive))
        assert started.returncode == 0, started.stderr
        yield running
    finally:
        Poc(running.out).end()


def test_the_server_and_all_sites_run(poc: RunningPoc) -> None:
    status = poc.poc("status", "--json")
    assert status.returncode == 0, status.stdout
    state = json.loads(status.stdout)
    assert set(state["processes"]) == {"server", *SITES}
    assert all(state["processes"].values())
    assert state["jobs"] == []


def test_the_user_s_own_flare_settings_are_not_touched(poc: RunningPoc) -> None:
    assert not (poc.home / ".nvflare").exists()


def test_a_second_start_says_how_to_stop_the_first(poc: RunningPoc) -> None:
    second = poc.poc("up", "--hospitals", str(poc.hospitals))
    assert second.returncode == 2
    assert "runs already" in second.stderr
    assert "consilium poc down" in second.stderr


def test_a_job_from_the_console_to_the_report(poc: RunningPoc, tmp_path: Path) -> None:
    with Console(Poc(poc.out).kits / SCIENTIST, poc) as console:
        for site in SITES:
            assert site in console.ask("check_status client")
        submitted = console.ask(f"submit_job {poc.job}")
        found = re.search(r"Submitted job: (\S+)", submitted)
        assert found, submitted
        job_id = found[1]
        wait_until(lambda: "FINISHED" in console.ask(f"list_jobs {job_id}"), "the job ends")
        assert "FINISHED:COMPLETED" in console.ask(f"list_jobs {job_id}")
        assert "not authorized" in console.ask("tail aster log.txt")
        downloaded = console.ask(f"download_job {job_id}")
    found = re.search(r"content downloaded to (\S+)", downloaded)
    assert found, downloaded
    report = poc.run("report", found[1], "--out", str(tmp_path / "report"))
    assert report.returncode == 0, report.stderr
    assert "success" in report.stderr
    content = read_json(tmp_path / "report/report.json")
    assert content["status"] == "finished"
    assert set(content["summary"]["global"]) >= {"dice", "dice_tc", "dice_wt", "dice_et"}
    assert set(content["sites"]) == set(SITES)


def test_a_readiness_check_from_its_submission_to_the_table(poc: RunningPoc, tmp_path: Path) -> None:
    checked = poc.poc("submit", str(export_job(build_recipe("brain_tumor_check"), tmp_path)))
    assert checked.returncode == 0, checked.stderr
    assert "success" in checked.stderr
    for site in SITES:
        assert re.search(rf"{site} +(train|evaluate \(own choice\)) ", checked.stderr)
    assert "Who is ready to train" in Path(checked.stdout.strip()).read_text()


def test_a_job_that_the_check_admits_is_partial_without_a_site(poc: RunningPoc, tmp_path: Path) -> None:
    demanding = export(tmp_path, {"rounds": 1, "admission.min_ready": 2})
    gone = poc.hospitals / "dahlia"
    gone.rename(poc.hospitals / "elsewhere")
    try:
        ended = poc.poc("submit", str(demanding))
    finally:
        (poc.hospitals / "elsewhere").rename(gone)
    assert ended.returncode == 1, ended.stderr
    assert "partial" in ended.stderr
    assert "dahlia is not part of it" in ended.stderr
    assert Path(ended.stdout.strip()).name == "index.html"


def test_statistics_from_their_submission_to_the_page(poc: RunningPoc, tmp_path: Path) -> None:
    job = export_job(build_recipe("brain_tumor_stats", {"min_count": 2}), tmp_path)
    ended = poc.poc("submit", str(job))
    assert ended.returncode == 0, ended.stderr
    assert "success" in ended.stderr
    result = Path(ended.stdout.strip()).parents[1]
    again = poc.run("report", str(result), "--out", str(tmp_path / "report"))
    assert again.returncode == 0, again.stderr
    assert "What the hospitals' data look like" in (tmp_path / "report/index.html").read_text()


def test_down_after_the_server_crashed_in_a_job(poc: RunningPoc) -> None:
    server = Poc(poc.out).kits / "server"
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
            processes = everybody(poc)
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
    assert everybody(poc) == []
    _, alive = psutil.wait_procs(processes, timeout=DEADLINE_SECONDS)
    assert alive == []
    assert poc.poc("status").returncode == 1
    assert "nothing was running" in poc.poc("down").stderr


class Console:
    """The real console of a user, in a pseudo-terminal."""

    def __init__(self, kit: Path, poc: RunningPoc) -> None:
        python = str(Path(sys.executable).parent)
        self._program = pexpect.spawn(
            "bash",
            [str(kit / "startup/fl_admin.sh")],
            env={
                **poc.environment(),
                "PATH": os.pathsep.join([python, os.environ["PATH"]]),
                "TERM": "dumb",
            },
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


def everybody(poc: RunningPoc) -> list[psutil.Process]:
    """All processes with the POC's kits on their command lines."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(Poc(poc.out).kits) in " ".join(process.cmdline()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
