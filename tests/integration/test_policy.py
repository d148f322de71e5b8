"""The site's last word: what a job may name, and where its data lies."""

import pytest

from consilium.provisioning.policy import allowed_classes

from .studies import edit_json, export, read_json, simulate

pytestmark = pytest.mark.integration


@pytest.fixture
def job(tmp_path):
    return export(tmp_path / "jobs")


def test_a_job_that_no_recipe_writes_is_rejected_before_anything_starts(job, hospitals, tmp_path):
    footprint = tmp_path / "footprint"
    stranger = {
        "id": "stranger",
        "path": "subprocess.Popen",
        "args": {"args": ["touch", str(footprint)]},
    }
    edit_json(job / "app/config/config_fed_client.json", lambda config: config["components"].append(stranger))
    sites = {name: hospitals[name] for name in ("north", "south")}
    study = simulate(job, sites, tmp_path / "out")
    assert study.code == 2
    assert not footprint.exists()
    assert "subprocess.Popen" in study.stderr
    assert "every site would reject it" in study.stderr
    assert not (tmp_path / "out").exists()


def test_a_job_that_brings_code_is_rejected_before_anything_starts(job, hospitals, tmp_path):
    (job / "app/custom").mkdir()
    (job / "app/custom/mine.py").write_text("raise SystemExit\n")
    study = simulate(job, {name: hospitals[name] for name in ("north", "south")}, tmp_path / "out")
    assert study.code == 2
    assert "contains its own code (app/custom)" in study.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("site", ["north", "south", "clinic"])
def test_each_site_has_its_own_policy_with_its_own_folder_only(healthy, hospitals, site):
    text = (healthy.out / "simulation" / site / "local/privacy.json").read_text()
    for name, folder in hospitals.items():
        assert (str(folder) in text) == (name == site)
    assert ('"evaluates"' in text) == (site == "clinic")


def test_the_server_never_learns_where_any_data_lies(healthy):
    assert not (healthy.server / "local/privacy.json").exists()


@pytest.mark.parametrize("site", ["server", "north", "south", "clinic"])
def test_the_allow_list_is_what_our_recipes_write(healthy, site):
    policy = read_json(healthy.out / "simulation" / site / "local/resources.json")
    assert policy["class_allow_list"] == [*allowed_classes("server"), *allowed_classes("client")]
