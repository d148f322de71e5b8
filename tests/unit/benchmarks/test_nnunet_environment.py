import json
import sys

import pytest

from consilium.errors import ConfigurationError
from consilium.learning.compute_settings import ComputeSettings
from nnunet_parts import environment
from nnunet_parts.environment import Environment, requirements

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for Python")


@pytest.fixture
def said():
    return []


@pytest.fixture
def nnunet(tmp_path, said):
    (tmp_path / "env/bin").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    compute = ComputeSettings(device="cpu", cpu_threads=1)
    return Environment(tmp_path / "env", tmp_path / "work", compute, said.append)


def program(tmp_path, name, script):
    path = tmp_path / f"env/bin/{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_only_marked_lines_are_shown_and_all_are_kept(tmp_path, nnunet, said):
    program(tmp_path, "python", 'echo "nnU-Net talks of JOHN"; echo "@@ step 3"')
    folder = tmp_path / "training"
    folder.mkdir()
    nnunet.work("train", {"folder": str(folder), "steps": 3}, "cut, seed 0")
    assert said == ["cut, seed 0: step 3"]
    assert "JOHN" in (folder / "train.log").read_text()
    assert json.loads((folder / "train.json").read_text())["steps"] == 3


def test_a_failure_names_the_log_and_not_what_is_in_it(tmp_path, nnunet):
    program(tmp_path, "nnUNetv2_preprocess", "echo JOHN is damaged; exit 3")
    with pytest.raises(ConfigurationError, match="exit code 3") as caught:
        nnunet.command("nnUNetv2_preprocess", "-d", "1")
    assert "nnUNetv2_preprocess.log" in str(caught.value)
    assert "JOHN" not in str(caught.value)


def test_nnunet_finds_its_folders_and_not_our_packages(tmp_path, nnunet, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/ours")
    program(tmp_path, "nnUNetv2_preprocess", 'echo "$nnUNet_raw:$PYTHONPATH:$OMP_NUM_THREADS"')
    nnunet.command("nnUNetv2_preprocess")
    log = (tmp_path / "work/nnUNetv2_preprocess.log").read_text()
    assert log == f"{tmp_path}/work/raw::1\n"


def test_what_is_installed_is_left_alone(tmp_path, nnunet, said, monkeypatch):
    (tmp_path / "env/ready.json").write_text(json.dumps(requirements()))
    monkeypatch.setattr(environment.subprocess, "run", lambda *command, **options: pytest.fail("pip ran"))
    nnunet.install()
    assert said == []


def test_torch_is_installed_first_and_pinned(tmp_path, nnunet):
    program(tmp_path, "python", f'shift 6; echo "$@" >> {tmp_path}/asked')
    nnunet.install()
    first, second = (tmp_path / "asked").read_text().splitlines()
    assert first.startswith("torch==")
    assert " " not in first
    assert second.split() == list(requirements())
    assert "+" not in second
