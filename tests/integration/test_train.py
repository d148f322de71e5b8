"""Training without a federation, as a person would: killed, resumed, and used as any other model."""

import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from waiting import DEADLINE_SECONDS, wait_until

from .interrupts import started
from .studies import ENVIRONMENT, read_json, run

pytestmark = [pytest.mark.integration, pytest.mark.long]

PACKAGE = Path(__file__).parents[1] / "toys/chest_ct"
PROGRAM = str(Path(sys.executable).with_name("consilium"))
SMALL = ("learning.local_steps=6", "learning.spacing_mm=6", "learning.patch_voxels=32", "rounds=4")


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The folders of two hospitals."""
    path = os.pathsep.join(filter(None, [str(PACKAGE), os.environ.get("PYTHONPATH")]))
    monkeypatch.setitem(ENVIRONMENT, "PYTHONPATH", path)
    made = command("cohort", tmp_path / "data", "--task", "chest_ct")
    return [Path(line.split("\t")[1]) for line in made.splitlines()]


def command(*words: object) -> str:
    code, out, errors = run([PROGRAM, *map(str, words)])
    assert code == 0, errors
    return out


def test_a_killed_training_resumes_and_its_model_is_used_like_any_other(folders, tmp_path):
    first, second = folders
    changes = [word for one in SMALL for word in ("--set", one)]
    options = ("--site", f"first={first}", *changes, "--min-patients", "2", "--threads", "1")
    command("train", "chest_ct_fedavg", *options, "--out", tmp_path / "whole")
    out = tmp_path / "killed"
    words = [PROGRAM, "train", "chest_ct_fedavg", *options, "--out", str(out)]
    record = out / "result/training.json"
    with started(words, tmp_path / "killed.log") as process:
        wait_until(lambda: record.exists() or process.poll() is not None, "a record", pause=0.01)
        assert process.poll() is None, (tmp_path / "killed.log").read_text()
        os.kill(process.pid, signal.SIGKILL)
        process.wait(DEADLINE_SECONDS)
    assert read_json(record)["status"] == "running"
    command(*words[1:])
    assert read_json(record)["status"] == "finished"
    for name in ("model.safetensors", "best_model.safetensors"):
        one, other = (load_file(tmp_path / folder / "result" / name) for folder in ("whole", "killed"))
        np.testing.assert_equal(one, other)

    result = out / "result"
    page = command("evaluate", "-m", result, second, "-o", tmp_path / "evaluation")
    assert Path(page.strip()).is_file()
    shutil.rmtree(tmp_path / "data" / first.name)
    command("predict", "-m", result, "-i", second, "-o", tmp_path / "predictions")
    assert len(list((tmp_path / "predictions").glob("*_seg.nii.gz"))) == len(list(second.glob("*_ct.nii.gz")))
    command("bundle", result, "-o", tmp_path / "bundle")
    card = (tmp_path / "bundle/docs/README.md").read_text()
    assert "local-only" in card
    assert "Hospitals sent" not in card
    warm = ("--from", tmp_path / "bundle", "--set", "rounds=1", "--min-patients", "2")
    pooled = ("--site", f"second={second}", *changes, *warm)
    command("train", "chest_ct_fedavg", *pooled, "--out", tmp_path / "warm")
    origin = read_json(tmp_path / "warm/result/training.json")["settings"]["initial"]["origin"]
    assert [one["name"] for one in origin] == ["chest_ct_fedavg"]
