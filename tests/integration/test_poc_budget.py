"""A patient's privacy budget in a POC: real kits, submitted jobs, and a site that is killed between them."""

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from consilium.poc.federation import Poc
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job
from waiting import DEADLINE_SECONDS

from .interrupts import processes_of
from .poc_on_laptop import RunningPoc, of_few_patients, start_site
from .studies import SMALL, read_json

pytestmark = [pytest.mark.integration, pytest.mark.long]

SITES = {"aster": "careless", "birch": "north"}
BUDGET = 7.0
"""More than one job of the test costs at the hospitals' own delta, and less than two."""


@pytest.fixture
def poc(hospitals: dict[str, Path], tmp_path: Path) -> Iterator[RunningPoc]:
    """A POC of two hospitals that demand formal protection, with a budget, in their kits."""
    for site, name in SITES.items():
        shutil.copytree(hospitals[name], tmp_path / "hospitals" / site)
    (tmp_path / "home").mkdir()
    file = of_few_patients(tmp_path / "project.yml")
    project = yaml.safe_load(file.read_text())
    project["participants"] = [one for one in project["participants"] if "dahlia" not in one["name"]]
    for participant in project["participants"]:
        if participant["name"] in SITES:
            participant["consilium"]["privacy"] = {"level": "formal", "epsilon": BUDGET}
    file.write_text(yaml.safe_dump(project))
    settings = {**SMALL, "learning.batch_size": 4, "algorithm.epsilon": 3.0}
    job = export_job(build_recipe("brain_tumor_dp_sgd", settings), tmp_path / "jobs")
    running = RunningPoc(tmp_path / "out", tmp_path / "hospitals", job, tmp_path / "home")
    try:
        started = running.poc("up", "--hospitals", str(running.hospitals), "--project", str(file))
        assert started.returncode == 0, started.stderr
        yield running
    finally:
        Poc(running.out).end()


def submit(poc: RunningPoc) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Run the job once more; returns how the command ended, and the job's report."""
    ended = poc.poc("submit", str(poc.job))
    assert ended.returncode in (0, 1), ended.stderr
    return ended, read_json(Path(ended.stdout.strip()).with_name("report.json"))


def spent(poc: RunningPoc, site: str) -> dict[str, Any]:
    """What `consilium ledger show` states at a hospital."""
    shown = poc.run("ledger", "show", str(Poc(poc.out).kits / site), "--json")
    assert shown.returncode == 0, shown.stderr
    summary: dict[str, Any] = json.loads(shown.stdout)
    return summary


def test_a_budget_for_one_job_is_spent_once_and_a_killed_site_gives_nothing_back(poc: RunningPoc) -> None:
    trained, report = submit(poc)
    assert (trained.returncode, report["status"]) == (0, "finished"), trained.stderr
    before = {site: spent(poc, site) for site in SITES}
    for summary in before.values():
        ((job, rounds, attempts),) = [(one["job"], one["rounds"], one["attempts"]) for one in summary["jobs"]]
        assert (job, rounds, attempts) == (Path(trained.stdout.strip()).parents[1].name, 2, 2)
        assert 3.0 < summary["epsilon"] < BUDGET  # its 3 is at the job's delta, which is a larger one

    killed = processes_of(Poc(poc.out).kits / "aster")
    assert killed
    for process in killed:
        process.send_signal(signal.SIGKILL)
    assert psutil.wait_procs(killed, timeout=DEADLINE_SECONDS)[1] == []
    start_site(poc, "aster")

    declined, report = submit(poc)
    assert declined.returncode == 1, declined.stderr
    assert report["rounds"] == []
    for site, summary in before.items():
        reason = re.search(
            rf"{site} is not part of it: this would pass a patient's privacy budget here, with 2 rounds: "
            r"allowed 7, spent (\S+), then (\S+) \(delta 0\.0001\)",
            declined.stderr,
        )
        assert reason is not None, declined.stderr
        assert float(reason[1]) == pytest.approx(summary["epsilon"], rel=1e-3)
        assert float(reason[2]) > BUDGET
        assert spent(poc, site) == summary  # what is declined pays nothing
        verified = poc.run("ledger", "verify", str(Poc(poc.out).kits / site), "--head", summary["head"])
        assert (verified.returncode, verified.stdout.strip()) == (0, summary["head"]), verified.stderr
