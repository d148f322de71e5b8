"""A hospital whose jobs a real Slurm runs: as usual, cancelled, and at the end of their time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from consilium.tasks.brain_tumor.synthetic import make_cohort
from consilium.tasks.brain_tumor.synthetic.grid import VoxelGrid
from consilium.tasks.brain_tumor.synthetic.spec import CohortSpec, HospitalSpec
from consilium.tasks.brain_tumor.synthetic.writers import CaseLayout
from integration.security.federation import (
    REPOSITORY,
    SERVER_NAME,
    SITES,
    Federation,
    free_port,
    processes_of,
    provision,
)
from integration.security.network import Network
from waiting import wait_until

from .consortium import ROUNDS, Consortium, export_drill_job
from .outcome import Outcome
from .slurm_cluster import PARTITION, URGENT, SlurmCluster, missing

pytestmark = [pytest.mark.drill, pytest.mark.skipif(missing() is not None, reason=str(missing()))]

_COHORT = CohortSpec(
    hospitals=tuple(HospitalSpec(name=site, layout=CaseLayout.BRATS_2020, cases=3) for site in SITES),
    grid=VoxelGrid(shape=(38, 48, 38), spacing_mm=4.0),
)
_TIME_LIMIT = "1"
"""Minutes; the shortest that Slurm counts."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    cluster = SlurmCluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def consortium(cluster: SlurmCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    """Server, `south` and `clinic` as usual; the jobs of `north` run in Slurm, in the environment at hand."""
    root = tmp_path_factory.mktemp("slurm-drills")
    datasets = make_cohort(_COHORT, root / "archives").hospitals
    port = free_port()
    network = Network(SITES, port, isolated=False)
    federation = Federation({}, network, root)
    try:
        federation.kits, _ = provision(
            root / "project", datasets, network.address["server"], port, _let_all_train
        )
        federation.kits["north"] = _prepare(federation.kits["north"], root)
        consortium = Consortium(federation)
        for site in (SERVER_NAME, "south", "clinic"):
            consortium.start(site)
        _start(consortium, cluster)
        yield consortium
        consortium.close()
    finally:
        federation.stop()


def _let_all_train(project: dict[str, Any]) -> None:
    for participant in project["participants"]:
        if participant["type"] == "client":
            participant["consilium"].pop("role", None)


def _prepare(kit: Path, root: Path) -> Path:
    """Prepare a kit with the file that we ship, for a site without containers, and move it."""
    shipped = yaml.safe_load((REPOSITORY / "provision/runtime/slurm.yaml").read_text())
    launcher = shipped["job_launcher"]
    launcher.pop("image", None)
    launcher.update(sandbox="none", internal_port=free_port(), poll_interval=1)
    launcher["sbatch_directives"] = {"partition": PARTITION}
    if "PYTHONPATH" in os.environ:  # of a work tree that is not installed; jobs inherit none
        python = root / "python3"
        python.write_text(f'#!/bin/sh\nPYTHONPATH={os.environ["PYTHONPATH"]} exec {sys.executable} "$@"\n')
        python.chmod(0o700)
        launcher["python_path"] = str(python)
    (root / "slurm.yaml").write_text(yaml.safe_dump(shipped))
    done = subprocess.run(
        [Path(sys.executable).with_name("consilium"), "kits", "prepare", kit, "--config", root / "slurm.yaml",
         "--output", root / "admin" / "north"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (root / "hospital").mkdir()
    return (root / "admin" / "north").rename(root / "hospital" / "north")


def _start(consortium: Consortium, cluster: SlurmCluster) -> None:
    federation = consortium.federation
    with consortium.logged("north") as log:
        federation.start("north", environment=cluster.environment, script="start_slurm.sh")
        wait_until(lambda: "Successfully registered client" in log(), "north has started")
    wait_until(lambda: consortium.connected() == set(SITES), "all sites are connected")


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return export_drill_job(tmp_path)


def assert_whole(outcome: Outcome) -> None:
    assert outcome.status == "FINISHED:COMPLETED"
    assert [one.number for one in outcome.record.rounds] == list(range(1, ROUNDS + 1))
    for site in SITES:
        assert outcome.outcomes(site) == ["trained"] * ROUNDS


def job_processes(consortium: Consortium) -> list[psutil.Process]:
    """Return the processes of `north`'s jobs: not those of the site itself."""
    return _running(consortium, "nvflare.private.fed.app.client.worker_process")


def site_process(consortium: Consortium) -> psutil.Process:
    """Return the process of `north` itself."""
    (process,) = _running(consortium, "nvflare.private.fed.app.client.client_train")
    return process


def _running(consortium: Consortium, module: str) -> list[psutil.Process]:
    return [one for one in processes_of(consortium.kits["north"]) if module in one.info["cmdline"]]


def test_a_job_runs_in_slurm_and_leaves_nothing(
    consortium: Consortium, cluster: SlurmCluster, job: Path
) -> None:
    job_id = consortium.submit(job)
    (slurm_job,) = wait_until(cluster.jobs, "Slurm runs the job")
    consortium.wait_for_round(job_id, 1, at="north")
    assert job_processes(consortium)
    assert_whole(consortium.wait_for_end(job_id))
    wait_until(lambda: cluster.states()[slurm_job] == "COMPLETED", "Slurm's job is over")
    assert job_processes(consortium) == []


def test_a_job_that_slurm_cancels_is_submitted_again_and_resumes(
    consortium: Consortium, cluster: SlurmCluster, job: Path
) -> None:
    job_id = consortium.submit(job)
    consortium.wait_for_round(job_id, 2, at="north")
    (slurm_job,) = cluster.jobs()
    cluster.ask("scancel", slurm_job)  # SIGTERM, and SIGKILL for what is there 5 s later
    wait_until(lambda: slurm_job not in cluster.jobs("R,CG"), "Slurm has ended the job")
    assert_whole(consortium.wait_for_end(job_id))
    assert cluster.states()[slurm_job].startswith("CANCELLED")
    assert job_processes(consortium) == []


def test_a_job_that_another_preempts_is_submitted_again_and_resumes(
    consortium: Consortium, cluster: SlurmCluster, job: Path
) -> None:
    job_id = consortium.submit(job)
    consortium.wait_for_round(job_id, 2, at="north")
    (slurm_job,) = cluster.jobs()
    cluster.ask("sbatch", f"--partition={URGENT}", "--exclusive", "--output=/dev/null", "--wrap=sleep 5")
    wait_until(lambda: cluster.states()[slurm_job] == "PREEMPTED", "the job is preempted")
    assert_whole(consortium.wait_for_end(job_id))
    assert job_processes(consortium) == []


def test_a_job_whose_time_is_over_is_submitted_again_and_resumes(
    consortium: Consortium, cluster: SlurmCluster, job: Path
) -> None:
    job_id = consortium.submit(job)
    consortium.wait_for_round(job_id, 2, at="north")
    (slurm_job,) = cluster.jobs()
    cluster.ask("scontrol", "update", f"JobId={slurm_job}", f"TimeLimit={_TIME_LIMIT}")
    consortium.signal("south", signal.SIGSTOP, job=True)  # the round can't end before Slurm's job does
    wait_until(lambda: cluster.states()[slurm_job] == "TIMEOUT", "the time of Slurm's job is over")
    consortium.signal("south", signal.SIGCONT, job=True)
    assert_whole(consortium.wait_for_end(job_id))
    assert job_processes(consortium) == []


def test_the_site_itself_is_killed_and_its_job_in_slurm_is_not(
    consortium: Consortium, cluster: SlurmCluster, job: Path
) -> None:
    job_id = consortium.submit(job)
    consortium.wait_for_round(job_id, 2, at="north")
    (orphan,) = cluster.jobs()
    process = site_process(consortium)
    process.kill()
    process.wait(timeout=60)
    assert orphan in cluster.jobs()
    _start(consortium, cluster)
    assert_whole(consortium.wait_for_end(job_id))
    wait_until(lambda: not cluster.jobs("R,CG,PD"), "Slurm runs nothing")
    assert job_processes(consortium) == []


def test_an_aborted_job_ends_in_slurm(consortium: Consortium, cluster: SlurmCluster, job: Path) -> None:
    job_id = consortium.submit(job)
    consortium.wait_for_round(job_id, 1, at="north")
    consortium.abort(job_id)
    consortium.wait_for_end(job_id)
    wait_until(lambda: not cluster.jobs("R,CG,PD"), "Slurm runs nothing")
    assert job_processes(consortium) == []


def test_a_site_is_stopped_as_its_guide_says(
    consortium: Consortium, cluster: SlurmCluster, job: Path
) -> None:
    stop = [Path(sys.executable).with_name("consilium"), "site", "stop", consortium.kits["north"]]
    job_id = consortium.submit(job)
    consortium.wait_for_round(job_id, 1, at="north")
    refused = subprocess.run(stop, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert job_id in refused.stdout + refused.stderr
    consortium.abort(job_id)
    consortium.wait_for_end(job_id)
    subprocess.run([*stop, "--when-idle"], check=True)
    assert _running(consortium, "nvflare.private.fed.app.client.client_train") == []
    _start(consortium, cluster)
