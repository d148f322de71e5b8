"""One POC of real processes: the command line, the console of the lead data scientist, and a crash."""

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from consilium.federation.monitoring.published_metrics import METRICS, PREFIX, SITE_METRICS
from consilium.federation.server.user_session import open_session
from consilium.federation.versions import component_versions
from consilium.poc.command import PocError
from consilium.poc.federation import Poc
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job
from consilium.records.evaluation import EvaluationRecord
from consilium.records.federation import FederationRecord
from consilium.records.job_record import load_record
from consilium.records.site_status import SiteStatus, read_site_status
from waiting import DEADLINE_SECONDS, wait_until

from .accounts import everything_in, open_to_others
from .interrupts import processes_of
from .poc_on_laptop import (
    ASTER_ADMIN,
    OTHER_VERSION,
    SCIENTIST,
    SITES,
    ConsoleSession,
    RunningPoc,
    ask_for_a_job,
    of_few_patients,
    sees_all_sites,
    start_with_another_version,
    trains_alone,
    write_evaluation,
)
from .studies import export, read_if_there, read_json

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def daemon() -> Iterator[socket.socket]:
    """Plays the StatsD daemon to which the server sends its jobs' metrics."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**22)
        daemon.bind(("127.0.0.1", 0))
        daemon.setblocking(False)
        yield daemon


@pytest.fixture(scope="module")
def poc(laptop: RunningPoc, daemon: socket.socket) -> Iterator[RunningPoc]:
    try:
        project = of_few_patients(laptop.home.parent / "project.yml", daemon.getsockname()[1])
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


@pytest.fixture(scope="module")
def session(poc: RunningPoc) -> ConsoleSession:
    return ask_for_a_job(poc)


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
        assert re.search(rf"{site} +(train;?|evaluate \(own choice\)) ", checked.stderr)
    assert "Who is ready to train" in Path(checked.stdout.strip()).read_text()


@pytest.mark.long
def test_statistics_from_their_submission_to_the_page(poc: RunningPoc, tmp_path: Path) -> None:
    job = export_job(build_recipe("brain_tumor_stats", {"min_count": 2}), tmp_path)
    ended = poc.poc("submit", str(job))
    assert ended.returncode == 0, ended.stderr
    assert "success" in ended.stderr
    result = Path(ended.stdout.strip()).parents[1]
    again = poc.run("report", str(result), "--out", str(tmp_path / "report"))
    assert again.returncode == 0, again.stderr
    assert "What the hospitals' data look like" in (tmp_path / "report/index.html").read_text()


@pytest.mark.long
def test_the_job_s_models_are_evaluated_at_every_site(
    poc: RunningPoc, session: ConsoleSession, tmp_path: Path
) -> None:
    job = write_evaluation(poc, session, tmp_path)
    ended = poc.poc("submit", str(job))
    assert ended.returncode == 0, ended.stderr
    record = load_record(Path(ended.stdout.strip()).parents[1])
    assert isinstance(record, EvaluationRecord)
    assert {name: set(one.sites) for name, one in record.models.items()} == {"final": set(SITES)}


@pytest.mark.long
def test_a_site_that_is_killed_while_it_trains_alone_resumes_and_reports_what_it_gains(
    poc: RunningPoc, tmp_path: Path
) -> None:
    job = export(tmp_path, {"rounds": 3, "learning.local_steps": 40})
    kit = Poc(poc.out).kits / "aster"
    done = {one.job_id for one in read_site_status(kit)}
    alone: list[SiteStatus] = []
    with poc.submit(job, "--local-only") as submit:
        wait_until(lambda: submit.poll() is not None or trains_alone(kit, done, alone), "a site trains alone")
        assert alone, "the job ended before a site was seen training alone"
        os.kill(alone[0].process, signal.SIGKILL)
        stdout, stderr = submit.communicate(timeout=DEADLINE_SECONDS)
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


def test_a_site_of_another_version_declines_and_the_job_that_the_check_admits_continues(
    poc: RunningPoc, tmp_path: Path
) -> None:
    start_with_another_version(poc, "dahlia", tmp_path)
    # By the readiness check above, which this server keeps.
    demanding = export(tmp_path, {"rounds": 1, "admission.min_ready": 2})
    seen: list[dict[str, Any]] = []
    with poc.submit(demanding) as submit:
        wait_until(lambda: submit.poll() is not None or sees_all_sites(poc, seen), "a running job is seen")
        stdout, stderr = submit.communicate(timeout=DEADLINE_SECONDS)
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


def test_users_and_hospitals_see_how_the_last_job_ended(poc: RunningPoc) -> None:
    kits = Poc(poc.out).kits

    def outcome() -> dict[str, Any] | None:
        reported = poc.run("status", "--kit", str(kits / ASTER_ADMIN), "--json")
        ended: dict[str, Any] | None = json.loads(reported.stdout)[0]["ended"]
        return ended

    wait_until(lambda: outcome() is not None, "the server says how the job ended")
    reported = outcome()
    assert reported is not None
    assert reported["kind"] == "partial"
    assert "dahlia is not part of it: versions do not fit" in " ".join(
        one["text"] for one in reported["reasons"]
    )
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


def test_down_after_the_server_crashed_in_a_job(poc: RunningPoc) -> None:
    kits = Poc(poc.out).kits
    server = kits / "server"
    started_before = set(server.glob("*/progress.json"))
    with poc.submit(poc.job) as submit:
        wait_until(lambda: bool(set(server.glob("*/progress.json")) - started_before), "the job starts")
        processes = processes_of(kits)
        asked = poc.run("site", "stop", str(server))
        assert (asked.returncode, "is in a job" in asked.stderr) == (1, True)
        assert all(process.is_running() for process in processes)
        for process in processes:
            if "/server" in " ".join(process.cmdline()):
                process.kill()
        _, stderr = submit.communicate(timeout=DEADLINE_SECONDS)
    assert submit.returncode == 2, stderr
    assert "consilium poc down" in stderr
    down = poc.poc("down")
    assert down.returncode == 0, down.stderr
    assert processes_of(kits) == []
    _, alive = psutil.wait_procs(processes, timeout=DEADLINE_SECONDS)
    assert alive == []
    assert poc.poc("status").returncode == 1
