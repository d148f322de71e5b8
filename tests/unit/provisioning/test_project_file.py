"""Names in a project file, at every door through which one comes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from consilium.errors import ConfigurationError
from consilium.poc.project import Project
from consilium.provisioning.project_file import read_project_file

from .test_builder import PROJECT, provision, shipped_project

HOSPITAL = PROJECT.with_name("hospital.yml")
CONSILIUM = Path(sys.executable).with_name("consilium")


def renamed(folder: Path, name: str) -> Path:
    """The shipped project with another name for a hospital, as somebody types it."""
    file = folder / "project.yml"
    text = PROJECT.read_text().replace("- name: clinic", f"- name: {name}")
    file.write_text(text.replace("[clinic]", f"[{name}]"))
    return file


def test_what_is_shipped_can_be_used():
    assert read_project_file(PROJECT, missing="")["name"] == "brain_tumor_consortium"


@pytest.mark.parametrize("name", ["server", "01", "yes", "null", "a" * 72, "North", "client"])
def test_a_name_that_can_not_be_used_is_refused_before_flare_sees_it(tmp_path, name):
    file = renamed(tmp_path, name)
    for read in (lambda: read_project_file(file, missing=""), lambda: Project.read(file)):
        with pytest.raises(ConfigurationError, match=r"project\.yml: .* can't be a site's name"):
            read()


@pytest.mark.parametrize("name", ["server", "a" * 72, "North", "client"])
def test_flares_own_command_refuses_it_as_well(tmp_path, name):
    project = yaml.safe_load(renamed(tmp_path, name).read_text())
    with pytest.raises(ConfigurationError, match=r"project file: .* can't be a site's name"):
        provision(tmp_path / "made", project)
    assert not list((tmp_path / "made").glob("*/prod_*"))


def test_another_participant_without_a_name_is_refused(tmp_path):
    project = shipped_project()
    project["participants"][0]["name"] = 8002
    (tmp_path / "project.yml").write_text(yaml.safe_dump(project))
    with pytest.raises(ConfigurationError, match=r"type 'server' has the name 8002"):
        read_project_file(tmp_path / "project.yml", missing="")


def test_the_command_refuses_and_makes_kits(tmp_path):
    def run(file: Path, *words: str) -> subprocess.CompletedProcess[str]:
        line = [CONSILIUM, "provision", "--project", file, *words]
        return subprocess.run(
            line, cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True
        )

    looked = run(HOSPITAL)
    assert (looked.returncode, "can be used" in looked.stdout) == (0, True)
    refused = run(renamed(tmp_path, "01"), "--to", "made")
    assert refused.returncode == 2
    assert "1 can't be a site's name: without quotes YAML reads it as a number" in refused.stderr
    assert not (tmp_path / "made").exists()
    done = run(renamed(tmp_path, "'01'"), "--to", "made")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "made/brain_tumor_consortium/prod_00/01/startup/start.sh").is_file()
