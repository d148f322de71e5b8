"""A task of another package, in the process of a site that lasts: imported only where the policy lists it."""

import json

import pytest
from tasks.packages import installed, is_imported, toy

from consilium.errors import ConfigurationError, JobRejected
from consilium.guard import flare_app_validator
from consilium.guard.deployment_check import deployment_fault
from consilium.guard.flare_app_validator import FlareAppValidator, tasks_listed_by
from consilium.guard.job_rules import check_app
from consilium.recipes.fedavg import FedAvgRecipe
from consilium.recipes.readiness import ReadinessRecipe
from consilium.recipes.statistics import StatisticsRecipe

from .kit import JOB_ID, described, make_site, new_authority, pack

pytestmark = pytest.mark.usefixtures("allow_list", "audited")

TASK = "toy_tumor"
SIDES = ("client", "server")


def recipes():
    learning = {"task": TASK}
    yield FedAvgRecipe.from_values({"name": "toy_fedavg", "learning": learning}, source="a test")
    yield ReadinessRecipe.from_values({"name": "toy_check", "learning": learning}, source="a test")
    yield StatisticsRecipe.from_values({"name": "toy_stats", "task": TASK}, source="a test")


@pytest.fixture
def jobs(tmp_path):
    """The files of every kind of job, written where the package is installed."""
    (tmp_path / "writer").mkdir()
    with installed(tmp_path / "writer", toy()):
        return [recipe.files() for recipe in recipes()]


@pytest.fixture
def here(tmp_path):
    (tmp_path / "site").mkdir()
    with installed(tmp_path / "site", toy()):
        yield


def app(files):
    parts = {"config/config_fed_server.json": files.server, "config/config_fed_client.json": files.client}
    return {name: json.dumps(content).encode() for name, content in parts.items()}


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def policy(root, *listed, **values):
    site = {"dataset": "/data/brats", "tasks": {name: {} for name in listed}, **values}
    scope = {"name": "hospital", "properties": {"consilium": site}}
    path = root / "local/privacy.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"scopes": [scope], "default_scope": "hospital"}))


@pytest.mark.usefixtures("here")
def test_a_job_of_an_unlisted_task_is_rejected_before_anything_of_its_package_is_imported(jobs):
    for files in jobs:
        with pytest.raises(ConfigurationError, match="policy does not list it"):
            check_app(app(files), lambda path: None, "client", listed=frozenset())
        assert not is_imported()
    for files in jobs:
        check_app(app(files), lambda path: None, "client", listed=frozenset({TASK}))
    assert is_imported()


def test_a_fault_in_the_code_of_a_task_rejects_the_job_and_its_words_stay_here(jobs, tmp_path, caplog):
    name, task, source = toy()
    broken = (
        source
        + """
    @property
    def settings_type(self):
        raise KeyError("/data/pacs/Doe-Jane")
"""
    )
    (tmp_path / "site").mkdir()
    with installed(tmp_path / "site", (name, task, broken)), pytest.raises(JobRejected) as caught:
        check_app(app(jobs[0]), lambda path: None, "client", listed=frozenset({TASK}))
    assert "can't be checked here (KeyError)" in str(caught.value)
    assert "pacs" not in str(caught.value)
    assert "/data/pacs/Doe-Jane" in caplog.text


@pytest.mark.usefixtures("here")
def test_a_hospital_rejects_the_deployment_and_the_server_takes_what_is_installed(jobs, tmp_path):
    workspace = make_site(tmp_path / "kit", new_authority())
    folder = tmp_path / "app"
    write(folder, app(jobs[0]))
    arguments = {side: (side, JOB_ID, described(jobs[0].meta), "app", pack(folder)) for side in SIDES}
    policy(tmp_path / "kit")
    fault = deployment_fault(workspace, *arguments["client"])
    assert "policy does not list it" in fault
    assert not is_imported()
    policy(tmp_path / "kit", TASK)
    assert "policy" not in (deployment_fault(workspace, *arguments["client"]) or "")
    assert "policy" not in (deployment_fault(workspace, *arguments["server"]) or "")


@pytest.mark.usefixtures("here")
def test_flare_s_own_place_for_the_check_reads_the_same_policy(jobs, tmp_path, monkeypatch):
    monkeypatch.setattr(flare_app_validator, "messages_are_guarded", lambda: True)
    folder = tmp_path / "kit" / JOB_ID / "app_north"
    write(folder, app(jobs[0]))
    policy(tmp_path / "kit")
    reason, _ = FlareAppValidator("client").validate(str(folder))
    assert "policy does not list it" in reason
    assert not is_imported()
    policy(tmp_path / "kit", TASK)
    assert FlareAppValidator("client").validate(str(folder))[0] == ""


def test_a_policy_that_can_t_be_read_lists_nothing(tmp_path):
    assert tasks_listed_by("client", tmp_path) == frozenset()
    policy(tmp_path, TASK)
    assert tasks_listed_by("client", tmp_path) == {TASK}
    policy(tmp_path, TASK, datset="/typo")
    assert tasks_listed_by("client", tmp_path) == frozenset()
    for content in (
        b"{",
        b"[]",
        b'{"scopes": 3}',
        b'{"scopes": [{"properties": {"consilium": 1}}]}',
        b"\xff",
    ):
        (tmp_path / "local/privacy.json").write_bytes(content)
        assert tasks_listed_by("client", tmp_path) == frozenset()
    assert tasks_listed_by("server", tmp_path) is None
