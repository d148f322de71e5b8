"""A recipe from a notebook, as it is and with a workflow of FLARE's added to it."""

import json
import sys

import pytest

from .studies import ANY_NUMBER, SMALL, read_json, run

pytestmark = [pytest.mark.integration, pytest.mark.long]

NOTEBOOK = """
import json
import sys

from nvflare.app_common.workflows.cross_site_model_eval import CrossSiteModelEval

from consilium.participant.site_settings import SiteSettings
from consilium.recipes.catalog import build_recipe
from consilium.simulation.environment import HospitalSimEnv

if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    recipe = build_recipe("brain_tumor_fedavg", request["settings"])
    if request["extended"]:
        job = recipe._job  # as FLARE's own add_experiment_tracking does
        job.to_server(CrossSiteModelEval(), id="cross_site")
    sites = {name: SiteSettings(**site) for name, site in request["sites"].items()}
    done = recipe.execute(HospitalSimEnv(sites, workspace_root=request["workspace"]))
    print("result:", done.get_result())
"""


@pytest.fixture(scope="module")
def request_of_sites(hospitals):
    """What the notebook is asked, without a workspace."""
    sites = {
        name: {"dataset": str(hospitals[name]), "cpu_threads": 1, **ANY_NUMBER}
        for name in ("north", "south", "clinic")
    }
    sites["clinic"]["role"] = "evaluates"
    return {"settings": {**SMALL, "rounds": 1}, "sites": sites, "extended": False}


def run_notebook(folder, request):
    script = folder / "notebook.py"
    script.write_text(NOTEBOOK)
    return run([sys.executable, str(script), json.dumps(request | {"workspace": str(folder / "runs")})])


@pytest.fixture(scope="module")
def notebook(request_of_sites, tmp_path_factory):
    """Run it for one round; returns what it printed, the server's run folder and the workspace."""
    folder = tmp_path_factory.mktemp("notebook")
    code, stdout, stderr = run_notebook(folder, request_of_sites)
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


def test_a_job_that_no_hospital_would_run_is_not_simulated(request_of_sites, tmp_path):
    code, _, stderr = run_notebook(tmp_path, request_of_sites | {"extended": True})
    assert code != 0
    assert "is not what a recipe of Consilium writes, so every site would reject it" in stderr
    assert "CrossSiteModelEval" in stderr
