"""Every training job of the brain tumor task, to its end in the simulator."""

import pytest

from consilium.recipes.catalog import CATALOG, build_recipe
from consilium.recipes.exported_job import export_job
from consilium.recipes.training import TrainingRecipe

from .studies import SMALL, simulate

pytestmark = pytest.mark.integration

SHIPPED_ELSEWHERE = ("brain_tumor_fedavg", "brain_tumor_fedavg_gpu")
"""Most other tests train with these."""

JOBS = [
    name
    for name, entry in CATALOG.items()
    if issubclass(entry.recipe, TrainingRecipe) and name not in SHIPPED_ELSEWHERE
]


@pytest.mark.parametrize("name", JOBS)
def test_a_job_of_each_algorithm_trains_to_its_end(hospitals, tmp_path, name):
    small = {**SMALL, "learning.local_epochs": None, "gpus_per_site": 0}
    if name.endswith("fednova"):
        small |= {"learning.local_steps": None, "learning.local_epochs": 1.0}
    job = export_job(build_recipe(name, small), tmp_path / "jobs")
    study = simulate(job, {one: hospitals[one] for one in ("north", "south")}, tmp_path / "out")
    assert study.code == 0, study.stderr
    record = study.federation
    assert record["status"] == "finished"
    assert record["settings"]["algorithm"]["name"] == name.removeprefix("brain_tumor_")
    assert record["final_scores"].keys() == {"north", "south"}
    norms = [site["update_norm"] for one in record["rounds"] for site in one["sites"].values()]
    assert len(norms) == 4
    assert all(norms)
