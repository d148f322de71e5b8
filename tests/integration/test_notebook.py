"""A recipe from a notebook, with FLARE's own cross-site evaluation added to it."""

import json
import sys

import numpy as np
import pytest
from nvflare.apis.dxo import from_file

from consilium.learning.model_file import load_model

from .studies import ANY_NUMBER, SMALL, read_json, run

pytestmark = pytest.mark.integration

NOTEBOOK = """
import json
import sys

from nvflare.app_common.widgets.validation_json_generator import ValidationJsonGenerator
from nvflare.app_common.workflows.cross_site_model_eval import CrossSiteModelEval

from consilium.learning.site_settings import SiteSettings
from consilium.recipes.catalog import build_recipe
from consilium.simulation.environment import HospitalSimEnv

if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    recipe = build_recipe("brain_tumor_fedavg", request["settings"])
    job = recipe._job  # as FLARE's own add_experiment_tracking does
    job.to_server(CrossSiteModelEval(), id="cross_site")
    job.to_server(ValidationJsonGenerator(), id="cross_site_results")
    sites = {name: SiteSettings(**site) for name, site in request["sites"].items()}
    done = recipe.execute(HospitalSimEnv(sites, workspace_root=request["workspace"]))
    print("result:", done.get_result())
"""


@pytest.fixture(scope="module")
def notebook(hospitals, tmp_path_factory):
    """Run it for one round; returns what it printed, the server's run folder and the workspace."""
    folder = tmp_path_factory.mktemp("notebook")
    script = folder / "notebook.py"
    script.write_text(NOTEBOOK)
    sites = {
        name: {"dataset": str(hospitals[name]), "cpu_threads": 1, **ANY_NUMBER}
        for name in ("north", "south", "clinic")
    }
    sites["clinic"]["role"] = "evaluates"
    request = {"settings": {**SMALL, "rounds": 1}, "sites": sites, "workspace": str(folder / "runs")}
    code, stdout, stderr = run([sys.executable, str(script), json.dumps(request)])
    assert code == 0, stdout[-3000:] + stderr[-3000:]
    workspace = folder / "runs/brain_tumor_fedavg"
    return stdout, workspace / "server/simulate_job", workspace


def test_the_run_object_says_where_the_result_is(notebook):
    stdout, server, workspace = notebook
    assert f"result: {workspace}" in stdout.splitlines()
    assert read_json(server / "federation.json")["status"] == "finished"


def test_each_site_keeps_its_cache_in_its_own_workspace(notebook):
    *_, workspace = notebook
    for site in ("north", "south", "clinic"):
        assert list((workspace / site / "cache").iterdir())


def test_every_site_judges_the_model_of_every_site_that_trained(notebook):
    _, server, _ = notebook
    (path,) = server.rglob("cross_val_results.json")
    results = read_json(path)
    assert results.keys() == {"north", "south", "clinic"}
    for judged in results.values():
        assert judged.keys() == {"north", "south"}
        assert all(0 <= scores["dice"] <= 1 and "hd95" in scores for scores in judged.values())


def test_the_global_model_is_the_mean_of_the_sites_models_weighted_by_their_cases(notebook):
    _, server, _ = notebook
    mean, _ = load_model(server / "model.safetensors")
    (folder,) = server.rglob("model_shareables")
    north, south = (from_file(str(folder / site)).data for site in ("north", "south"))
    assert mean.keys() == north.keys()
    for name, value in mean.items():
        expected = 2 / 3 * np.asarray(north[name]) + 1 / 3 * np.asarray(south[name])
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)
    assert any(not np.allclose(north[name], south[name], atol=1e-4) for name in mean)
