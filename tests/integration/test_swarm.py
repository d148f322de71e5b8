"""Swarm learning in the simulator: the model of plain averaging, and each hospital has its turn."""

import numpy as np
import pytest

from consilium.learning.model_file import load_model
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job

from .studies import SMALL, simulate

pytestmark = [pytest.mark.integration, pytest.mark.long]

SITES = ("careless", "north", "south")
SETTINGS = {**SMALL, "min_sites": 3, "rounds": 2, "rollback_margin": None}


def study(folder, hospitals, name):
    job = export_job(build_recipe(f"brain_tumor_{name}", SETTINGS), folder / "jobs")
    return simulate(job, {site: hospitals[site] for site in SITES}, folder / name)


def test_it_gives_the_model_of_plain_averaging_and_the_turn_goes_round(hospitals, tmp_path):
    swarm, plain = (study(tmp_path, hospitals, name) for name in ("swarm", "fedavg"))
    assert (swarm.code, plain.code) == (0, 0), swarm.stderr + plain.stderr
    first, second = swarm.federation["rounds"]
    assert [[*one["questions"]["combine_updates"]] for one in (first, second)] == [["careless"], ["north"]]
    assert {one["outcome"] for one in first["sites"].values()} == {"trained"}
    shares = [one["rounds"][0]["sites"] for one in (swarm.federation, plain.federation)]
    ours, theirs = ({name: one["weight"] for name, one in sites.items()} for sites in shares)
    assert ours == pytest.approx(theirs)
    models = [load_model(one.out / "result/model.safetensors")[0] for one in (swarm, plain)]
    assert models[0].keys() == models[1].keys()
    # After the first round the plain job's sites keep their optimizers' moments, and these don't.
    initial = [one.federation["initial_scores"] for one in (swarm, plain)]
    assert initial[0] == initial[1]
    assert swarm.federation["rounds"][0]["scores"] == plain.federation["rounds"][0]["scores"]
    assert all(np.isfinite(value).all() for value in models[0].values())
    assert swarm.federation["final_scores"].keys() == {*SITES}
