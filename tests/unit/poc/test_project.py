import socket
from pathlib import Path

import pytest
import yaml

from consilium.errors import ConfigurationError
from consilium.poc.project import Project

PROJECT = Path(__file__).parents[3] / "poc/project.yml"


@pytest.fixture
def hospitals(tmp_path):
    folders = {name: tmp_path / name for name in ("aster", "birch", "dahlia")}
    for folder in folders.values():
        folder.mkdir()
    return folders


def test_the_consortium_has_three_hospitals_with_an_admin_each():
    project = Project.read(PROJECT)
    assert project.sites.keys() == {"aster", "birch", "dahlia"}
    assert project.sites["dahlia"].role == "evaluates"
    participants = project.content["participants"]
    admins = [one["org"] for one in participants if one.get("role") == "org_admin"]
    assert admins == [one["org"] for one in participants if one["type"] == "client"]


def test_its_kits_are_made_of_the_parts_of_a_real_federation():
    """So what a POC survives, a federation of kits from `provision/` survives."""
    real = PROJECT.parents[1] / "provision/project.yml"
    builders = [yaml.safe_load(file.read_text())["builders"] for file in (PROJECT, real)]
    parts = [[one["path"] for one in some] for some in builders]
    assert parts[0] == parts[1]


def test_every_site_gets_its_folder(hospitals, tmp_path):
    project = Project.read(PROJECT).on_this_machine(hospitals, tmp_path / "cache")
    project.write(tmp_path / "project.yml")
    read = Project.read(tmp_path / "project.yml")
    assert {name: site.dataset for name, site in read.sites.items()} == hospitals
    assert read.sites["birch"].cache_dir == tmp_path / "cache/birch"
    assert read.sites["birch"].cpu_threads
    assert read.sites["dahlia"].role == "evaluates"


def test_a_port_in_use_is_left_to_who_has_it(hospitals, tmp_path):
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        content = yaml.safe_load(PROJECT.read_text())
        content["participants"][0].update(dict.fromkeys(("fed_learn_port", "admin_port"), taken(other)))
        (tmp_path / "project.yml").write_text(yaml.safe_dump(content))
        project = Project.read(tmp_path / "project.yml").on_this_machine(hospitals, tmp_path)
        assert project.ports != (taken(other),)
        assert len(project.ports) == 1


def test_a_site_without_a_folder_is_named(hospitals, tmp_path):
    del hospitals["birch"]
    with pytest.raises(ConfigurationError, match="site birch has no folder"):
        Project.read(PROJECT).on_this_machine(hospitals, tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "not YAML"),
        ("name: x", "no list of participants"),
        ("participants: []", "nobody as server \\(`type: server`\\)"),
    ],
)
def test_what_is_no_project_is_said(tmp_path, text, said):
    (tmp_path / "project.yml").write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        Project.read(tmp_path / "project.yml")


def test_a_folder_is_no_project(tmp_path):
    with pytest.raises(ConfigurationError, match="--project names a file"):
        Project.read(tmp_path)


def test_a_missing_project_says_where_to_start(tmp_path):
    with pytest.raises(ConfigurationError, match="--project"):
        Project.read(tmp_path / "project.yml")


def taken(other):
    return other.getsockname()[1]
