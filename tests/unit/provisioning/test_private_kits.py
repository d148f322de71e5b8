"""Files of a kit and of its processes are their owner's only."""

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nvflare.fuel.utils.class_loader import get_class_name
from nvflare.fuel.utils.log_utils import default_log_dict
from nvflare.lighter.spec import Builder
from site_check.federation import umask

from consilium.data.files import OTHERS
from consilium.errors import ConfigurationError
from consilium.guard.private_files import PrivateFiles
from consilium.provisioning.builder import _log_config

from .provisioned import SERVER, open_to_others, provision, read, shipped_project


def test_nobody_else_can_open_anything_of_a_project_from_its_first_provisioning_on(tmp_path):
    """FLARE writes the root key when all builders of ours are done."""
    kits = provision(tmp_path, shipped_project())
    project = kits.parent
    assert {"prod_00", "state"} <= {path.name for path in project.iterdir()}
    assert open_to_others(project) == {}
    assert (project / "state" / "cert.json").stat().st_mode & 0o777 == 0o600
    assert (kits / "north" / "startup" / "start.sh").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("name", "script", "answer"),
    [
        (SERVER, "sub_start.sh --once", ""),
        ("north", "sub_start.sh --once", ""),
        (SERVER, "stop_fl.sh", "y"),
        ("clinic", "stop_fl.sh", "y"),
        ("scientist@consortium.example", "fl_admin.sh", ""),
    ],
)
def test_what_a_kit_s_script_starts_and_writes_is_its_owner_s(kits, tmp_path, name, script, answer):
    """A program of this name replaces Python: it says which umask it has, and writes a file."""
    kit = Path(shutil.copytree(kits / name, tmp_path / name))
    before = set(kit.rglob("*"))
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "python3"
    program.write_text(f"#!/bin/sh\numask > '{kit}/umask.txt'\n")
    program.chmod(0o755)
    with umask(0):
        subprocess.run(
            ["bash", "-c", f"'{kit}'/startup/{script}"], input=answer, text=True, check=True,
            env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}, capture_output=True,
        )  # fmt: skip
    written = set(kit.rglob("*")) - before
    assert written
    assert open_to_others(kit) == {}
    if "stop" not in script:
        assert int((kit / "umask.txt").read_text(), 8) == OTHERS


def test_every_script_of_every_kit_sets_the_umask_before_anything_else(kits):
    scripts = list(kits.glob("*/startup/*.sh"))
    assert {script.name for script in scripts} == {"start.sh", "sub_start.sh", "stop_fl.sh", "fl_admin.sh"}
    assert {script.parents[1].name for script in scripts} == {path.name for path in kits.iterdir()}
    for script in scripts:
        assert [line.partition(" #")[0] for line in script.read_text().splitlines()[:2]] == [
            "#!/usr/bin/env bash",
            "umask 077",
        ]
        assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


class OtherScripts(Builder):
    """Stands for a FLARE that writes its scripts in another way."""

    def __init__(self, name: str, content: str | None) -> None:
        self._name, self._content = name, content

    def build(self, project, ctx):
        script = Path(ctx.get_kit_dir(project.get_all_participants()[-1])) / self._name
        if self._content is None:
            script.unlink()
        else:
            script.write_text(self._content)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("name", "content"),
    [("fl_admin.sh", None), ("fl_admin.sh", "#!/bin/zsh\n"), ("new.sh", "python3 -m nvflare\n")],
)
def test_a_script_that_can_not_be_made_to_set_the_umask_stops_the_provisioning(tmp_path, name, content):
    project = shipped_project()
    args = {"name": name, "content": content}
    project["builders"].insert(2, {"path": f"{__name__}.OtherScripts", "args": args})
    with pytest.raises(
        ConfigurationError, match=rf"observer@consortium.example: {name} of the kit is missing"
    ):
        provision(tmp_path, project)
    assert not list(tmp_path.glob("*/prod_*"))


def test_a_project_that_can_not_be_closed_is_not_provisioned(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "chmod", lambda self, mode: None)  # as a file system without modes does
    with pytest.raises(ConfigurationError, match="other accounts of this machine can read keys below"):
        provision(tmp_path, shipped_project())
    assert not list(tmp_path.glob("*/prod_*"))


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("name", [SERVER, "north"])
def test_flare_s_log_files_of_a_site_are_its_owner_s_those_of_an_earlier_version_too(kits, name, tmp_path):
    config = read(kits / name / "local" / "log_config.json.default")
    files = {handler["filename"] for handler in config["handlers"].values() if "filename" in handler}
    assert {"log.txt", "error_log.txt", "log.json", "log_fl.txt"} <= files
    (tmp_path / "log.txt").write_text("before\n")
    (tmp_path / "log.txt").chmod(0o644)
    program = (
        "import json, logging, sys\n"
        "from nvflare.fuel.utils.log_utils import apply_log_config\n"
        "apply_log_config(json.load(open(sys.argv[1])), sys.argv[2])\n"
        "logging.getLogger('custom').error('something')\n"
    )
    path = kits / name / "local" / "log_config.json.default"
    with umask(0):
        subprocess.run([sys.executable, "-c", program, path, tmp_path], check=True, capture_output=True)
    assert {path.name for path in tmp_path.iterdir()} == files
    assert all("something" in path.read_text() for path in tmp_path.iterdir())
    assert {oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()} == {"0o600"}


@pytest.mark.parametrize("change", [{"class": "logging.FileHandler"}, {"class": "logging.NullHandler"}])
def test_a_log_file_that_can_not_be_kept_private_is_rejected(change):
    config = copy.deepcopy(default_log_dict)
    config["handlers"]["logFileHandler"] |= change
    with pytest.raises(ValueError, match="logFileHandler writes a file with logging"):
        _log_config(config, "INFO")


@pytest.mark.parametrize("name", [SERVER, "north", "clinic"])
def test_each_process_of_a_site_sets_the_umask_before_other_components_are_built(kits, name):
    first = read(kits / name / "local" / "resources.json.default")["components"][0]
    assert first == {"id": "private_files", "path": get_class_name(PrivateFiles), "args": {}}
    with umask(0o022):
        PrivateFiles()
        assert os.umask(0) == OTHERS
