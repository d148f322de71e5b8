"""A job that starts from the bundle of another: the same model before its first round, and its chain."""

import json
import os
import sys
from pathlib import Path

import pytest

from .studies import ENVIRONMENT, run, simulate

pytestmark = pytest.mark.integration

PACKAGE = Path(__file__).parents[1] / "toys/chest_ct"
PROGRAM = str(Path(sys.executable).with_name("consilium"))
QUICK = ("learning.local_steps=4", "learning.spacing_mm=6", "learning.patch_voxels=32", "rounds=1")


def command(*words: object) -> str:
    code, out, errors = run([PROGRAM, *map(str, words)])
    assert code == 0, errors
    return out


def test_a_bundle_starts_another_job(tmp_path, monkeypatch):
    path = os.pathsep.join(filter(None, [str(PACKAGE), os.environ.get("PYTHONPATH")]))
    monkeypatch.setitem(ENVIRONMENT, "PYTHONPATH", path)
    made = command("cohort", tmp_path / "data", "--task", "chest_ct")
    sites = {name: Path(folder) for name, folder in (line.split("\t") for line in made.splitlines())}
    settings = [word for one in QUICK for word in ("--set", one)]
    command("jobs", "export", "chest_ct_fedavg", "--to", tmp_path, "--set", "name=first", *settings)
    first = simulate(tmp_path / "first", sites, tmp_path / "one")
    assert first.code == 0, first.stderr
    command("bundle", first.out / "result", "-o", tmp_path / "lesions", "--which", "final")
    start = ("--from", tmp_path / "lesions", "--set", "name=second")
    command("jobs", "export", "chest_ct_fedavg", "--to", tmp_path, *start, *settings)
    second = simulate(tmp_path / "second", sites, tmp_path / "two")
    assert second.code == 0, second.stderr
    chosen_by, (only,) = second.federation["initial_scores"], first.federation["rounds"]
    assert chosen_by  # both are of validation patients
    assert chosen_by.keys() == only["scores"].keys()
    for site, scores in chosen_by.items():
        assert scores == pytest.approx(only["scores"][site]), site
    command("bundle", second.out / "result", "-o", tmp_path / "again", "--which", "final")
    origin = json.loads((tmp_path / "again/configs/metadata.json").read_text())["consilium"]["origin"]
    assert [(one["name"], one["round"]) for one in origin] == [("first", 1)]
    assert "2. Job second, 1 round: this model." in (tmp_path / "again/docs/README.md").read_text()
