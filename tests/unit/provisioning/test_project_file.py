"""Names in a project file, at every door through which one comes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nvflare.lighter
import pytest
import yaml

from consilium.errors import ConfigurationError
from consilium.poc.project import Project
from consilium.provisioning.project_check import check_project
from consilium.provisioning.project_file import check_participants, read_project_file

from .provisioned import PROJECT, provision, shipped_project

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


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("name", ["server", "01", "yes", "null", "a" * 72, "North", "client"])
def test_a_name_that_can_not_be_used_is_rejected_before_flare_sees_it(tmp_path, name):
    file = renamed(tmp_path, name)
    for read in (lambda: read_project_file(file, missing=""), lambda: Project.read(file)):
        with pytest.raises(ConfigurationError, match=r"project\.yml: .* can't be a site's name"):
            read()


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("name", ["server", "a" * 72, "North", "client"])
def test_flares_own_command_rejects_it_as_well(tmp_path, name):
    project = yaml.safe_load(renamed(tmp_path, name).read_text())
    with pytest.raises(ConfigurationError, match=r"project file: .* can't be a site's name"):
        provision(tmp_path / "made", project)
    assert not list((tmp_path / "made").glob("*/prod_*"))


def test_another_participant_without_a_name_is_rejected(tmp_path):
    project = shipped_project()
    project["participants"][0]["name"] = 8002
    (tmp_path / "project.yml").write_text(yaml.safe_dump(project))
    with pytest.raises(ConfigurationError, match=r"type 'server' has the name 8002"):
        read_project_file(tmp_path / "project.yml", missing="")


def changed(folder: Path, old: str, new: str) -> Path:
    """The shipped project with something else in it."""
    text = PROJECT.read_text()
    assert old in text
    file = folder / "project.yml"
    file.write_text(text.replace(old, new))
    return file


SECOND_SERVER = """  - {name: b.example, type: server, org: consortium}
  - name: north
"""

WRONG = [
    ("  - name: north\n", SECOND_SERVER, "allowed: one"),
    ("type: client", "type: clients", "has the type 'clients'; allowed: server, client"),
    ("    org: north_hospital\n", "", "'north': org is None"),
    ("org: north_hospital", "org: north hospital", "'north': org is 'north hospital'"),
    ("org: north_hospital", f"org: {'n' * 65}", "at most 64 letters"),
    (
        "name: flare.consortium.example",
        'name: "flare\\e[2J"',
        "'flare\\x1b[2J' can't be the name of a server",
    ),
    ("    type: server", "    type: relay", "can't be the name of a relay"),
    ("learn_port: 8002", "learn_port: 80020", "fed_learn_port is 80020; allowed: a number from 1 to 65535"),
    ("learn_port: 8002", "learn_port: -1", "fed_learn_port is -1"),
    ("learn_port: 8002", "learn_port: '8002'", "fed_learn_port is '8002'"),
    ("admin_port: 8002", "admin_port: true", "admin_port is True"),
    ("role: lead", "role: leader", "role is 'leader'; allowed: project_admin"),
    (", role: lead", "", "role is None"),
    ("it@south.example", "IT@north.example", "is there already, as 'it@north.example'"),
    ("it@south.example", f"{'i' * 70}@south.example", "has 84 characters, and a certificate holds 64"),
    ("admin@consortium.example, type", "admin, type", "can't be the name of a user (admin)"),
    ("num_of_gpus: 4", "num_of_gpus: -4", "num_of_gpus: "),
    ("num_of_gpus: 4", "num_of_gpus: four", "num_of_gpus: "),
    ("num_of_gpus: 4", "gpus: 4", "gpus: no such setting"),
    ("capacity: {num_of_gpus: 4, mem_per_gpu_in_GiB: 40}", "capacity: 4", "capacity is 4"),
    ("org: north_hospital\n", "org: n\n    allow_log_streaming: 'no'\n", "allowed: true, false"),
    ("org: north_hospital\n", "org: n\n    conect_to: a\n", "did you mean 'connect_to'"),
]


@pytest.mark.quick_cases(7)
@pytest.mark.parametrize(("old", "new", "said"), WRONG, ids=[said for _, _, said in WRONG])
def test_a_participant_that_can_not_take_part_is_rejected_by_command_and_builder(tmp_path, old, new, said):
    file = changed(tmp_path, old, new)
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        read_project_file(file, missing="")
    participants = yaml.safe_load(file.read_text())["participants"]
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        check_participants(participants, "project file")


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: brain_tumor_consortium", "name: ../elsewhere", "the project's name is '../elsewhere'"),
        ("name: brain_tumor_consortium", f"name: {'a' * 65}", "at most 64"),
        ("scheme: grpc", "scheme: gprc", "scheme is 'gprc'; allowed: grpc, http"),
        ("scheme: grpc", "scheme: tcp", "blocks all hospitals"),
        ("consilium.provisioning.builder.SitePolicyBuilder", "a.B", "no policy of its site"),
        (
            "consilium.provisioning.signature.StartupSignatureBuilder",
            "a.B",
            "StartupSignatureBuilder",
        ),
        ("path: nvflare.lighter.impl.workspace.WorkspaceBuilder", "path: a.B", "'a.B' is no builder"),
        ("path: nvflare.lighter.impl.workspace.WorkspaceBuilder", "path: print", "'print' is no builder"),
        ("path: nvflare.lighter.impl.workspace.WorkspaceBuilder", "path: 5", "5 is no builder"),
        (
            "path: nvflare.lighter.impl.workspace.WorkspaceBuilder",
            'path: "\\e[2J"',
            "'\\x1b[2J' is no builder",
        ),
        ("log_level: INFO", "log_level: info", "log_level is 'info'"),
        ("log_level: INFO", "level: INFO", "SitePolicyBuilder has no such setting"),
        ("{dataset: /data/brain_tumor/brats, role: evaluates}", "{datset: /data}", "did you mean 'dataset'"),
    ],
)
def test_a_project_whose_kits_would_be_wrong_is_rejected(tmp_path, old, new, said):
    file = changed(tmp_path, old, new)
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        check_project(read_project_file(file, missing=""), str(file), kits=True)


def test_flares_own_example_makes_no_kits_without_a_policy():
    example = Path(nvflare.lighter.__file__).with_name("dummy_project.yml")
    with pytest.raises(ConfigurationError, match="Copy the list from provision/project"):
        check_project(read_project_file(example, missing=""), str(example), kits=True)


def test_no_kits_are_made_without_a_server():
    with pytest.raises(ConfigurationError, match="no participant of type server"):
        check_project(read_project_file(HOSPITAL, missing=""), "hospital.yml", kits=True)


@pytest.mark.parametrize("name", ["project.yml", "hospital.yml", "server.yml"])
def test_every_file_that_is_shipped_can_be_used(name):
    content = read_project_file(PROJECT.with_name(name), missing="")
    check_project(content, name, kits=name == "project.yml")


@pytest.mark.integration
def test_the_command_rejects_and_makes_kits(tmp_path):
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
    assert "next: consilium kits pack made/brain_tumor_consortium/prod_00 --to handover" in done.stderr
