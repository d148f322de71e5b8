"""One federation for all drills: each begins when it is whole and leaves it so."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from consilium.tasks.brain_tumor.synthetic import make_cohort
from consilium.tasks.brain_tumor.synthetic.grid import VoxelGrid
from consilium.tasks.brain_tumor.synthetic.spec import CohortSpec, HospitalSpec
from consilium.tasks.brain_tumor.synthetic.writers import CaseLayout
from integration.security.conftest import NO_NAMESPACES
from integration.security.federation import (
    LEAD,
    SERVER_NAME,
    SITES,
    Federation,
    free_port,
    provision,
)
from integration.security.network import Network

from .clock import FAKETIME, HOUR, shifted_clock
from .consortium import MISDEEDS, OTHER_LEAD, Consortium, export_drill_job
from .outcome import Outcome

_COHORT = CohortSpec(
    hospitals=tuple(HospitalSpec(name=site, layout=CaseLayout.BRATS_2020, cases=3) for site in SITES),
    grid=VoxelGrid(shape=(38, 48, 38), spacing_mm=4.0),
)


@pytest.fixture(scope="session")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """The project of `provision/project.yml`, in which all three hospitals train; nobody runs yet."""
    root = tmp_path_factory.mktemp("drills")
    datasets = make_cohort(_COHORT, root / "archives").hospitals
    port = free_port()
    network = Network(SITES, port, isolated=NO_NAMESPACES is None)
    federation = Federation({}, network, root)
    try:
        federation.kits, _ = provision(
            root / "project", datasets, network.address["server"], port, _let_all_train,
            # A kit is older than an hour: a site's clock that is behind must not make it one of tomorrow.
            environment=shifted_clock(-2 * HOUR) if FAKETIME else None,
        )  # fmt: skip
        yield federation
    finally:
        try:
            federation.stop()
        finally:
            network.close()


def _let_all_train(project: dict[str, Any]) -> None:
    for participant in project["participants"]:
        if participant["type"] == "client":
            participant["consilium"].pop("role", None)
            participant["consilium"]["split_salt"] = "drills"  # or no two jobs come to the same model
    lead = next(one for one in project["participants"] if one["name"] == LEAD)
    project["participants"].append({**lead, "name": OTHER_LEAD})


@pytest.fixture(scope="session")
def running(federation: Federation) -> Iterator[Consortium]:
    consortium = Consortium(federation)
    for participant in (SERVER_NAME, *SITES):
        consortium.start(participant)
    yield consortium
    consortium.close()


@pytest.fixture
def consortium(running: Consortium) -> Iterator[Consortium]:
    """The federation, whole; whatever a drill has left in it is put right."""
    running.make_whole()
    running.submitted.clear()
    yield running
    for participant in (SERVER_NAME, *SITES):
        (running.kits[participant] / MISDEEDS).unlink(missing_ok=True)
        for process in running.processes(participant):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
    for job_id in running.submitted:
        running.end(job_id)


@pytest.fixture(scope="session")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The job that most drills disturb."""
    return export_drill_job(tmp_path_factory.mktemp("job"))


@pytest.fixture(scope="session")
def undisturbed(running: Consortium, job: Path) -> Outcome:
    """What the job comes to when nothing happens."""
    running.make_whole()
    outcome = running.wait_for_end(running.submit(job))
    assert outcome.status == "FINISHED:COMPLETED"
    return outcome
