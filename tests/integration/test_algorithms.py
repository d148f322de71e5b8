"""The jobs against drift between hospitals, each to its end in the simulator."""

import pytest

from consilium.recipes.catalog import CATALOG, build_recipe
from consilium.recipes.exported_job import export_job
from consilium.recipes.training import TrainingRecipe

from .studies import SMALL, simulate

pytestmark = [pytest.mark.integration, pytest.mark.long]

LEFT_OUT = {
    "brain_tumor_fedavg": "most other tests train with it",
    "brain_tumor_fedavg_gpu": "the same algorithm",
    "brain_tumor_fedavg_secagg": "it takes hospitals with identities",
    "brain_tumor_swarm": "it takes three hospitals that train: test_swarm.py",
    "brain_tumor_dp_sgd": "it takes hospitals with a budget",
}

JOBS = [
    name
    for name, entry in CATALOG.items()
    if issubclass(entry.recipe, TrainingRecipe) and name not in LEFT_OUT
]


@pytest.mark.parametrize("name", JOBS)
def test_a_job_of_each_algorithm_trains_to_its_end(hospitals, tmp_path, name):
    small = {**SMALL, "gpus_per_site": 0, "learning.batch_size": 1, "learning.window_overlap": 0.0}
    small |= {"learning.local_epochs": None, "task_request_seconds": 1.0}
    if name.endswith("fednova"):
        small |= {"learning.local_steps": None, "learning.local_epochs": 1.0}
    job = export_job(build_recipe(name, small), tmp_path / "jobs")
    study = simulate(job, {one: hospitals[one] for one in ("north", "south")}, tmp_path / "out")
    assert study.code == 0, study.stderr
    record = study.federation
    assert record["status"] == "finished"
    assert record["settings"]["algorithm"]["name"] == name.removeprefix("brain_tumor_")
    assert record["final_scores"].keys() == {"north", "south"}
    sites = [(one["turn"], *site) for one in record["rounds"] for site in one["sites"].items()]
    norms = [found["update_norm"] for turn, site, found in sites if turn in (None, site)]
    assert len(norms) == (2 if name.endswith("cyclic") else 4)
    assert all(norms)
