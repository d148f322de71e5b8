"""A job that starts from the bundle of another: the same model before its first round, and its chain."""

import json

import pytest

from .chest_ct import QUICK, command, export
from .studies import simulate

pytestmark = [pytest.mark.integration, pytest.mark.long]


def test_a_bundle_starts_another_job(chests, chest_training, chest_package, tmp_path):
    first = chest_training
    command("bundle", first.out / "result", "-o", tmp_path / "lesions", "--which", "final")
    export("fedavg", tmp_path, "name=second", *QUICK, options=("--from", tmp_path / "lesions"))
    second = simulate(tmp_path / "second", chests, tmp_path / "two")
    assert second.code == 0, second.stderr
    chosen_by, (only,) = second.federation["initial_scores"], first.federation["rounds"]
    assert chosen_by  # both are of validation patients
    assert chosen_by.keys() == only["scores"].keys()
    for site, scores in chosen_by.items():
        assert scores == pytest.approx(only["scores"][site]), site
    command("bundle", second.out / "result", "-o", tmp_path / "again", "--which", "final")
    origin = json.loads((tmp_path / "again/configs/metadata.json").read_text())["consilium"]["origin"]
    assert [(one["name"], one["round"]) for one in origin] == [("chest_ct_fedavg", 1)]
    assert "2. Job second, 1 round: this model." in (tmp_path / "again/docs/README.md").read_text()
