"""Models at every hospital, in FLARE's simulator: a training's models, measured by a job of their own."""

import json
import os
from pathlib import Path

import pytest

from .chest_ct import PROGRAM, command, export
from .studies import ENVIRONMENT, read_json, run, simulate

pytestmark = [pytest.mark.integration, pytest.mark.long]

FUNDUS = Path(__file__).parents[1] / "toys/fundus"


def test_the_models_of_a_training_are_measured_at_every_hospital(
    chests, chest_training, chest_package, tmp_path
):
    sites = chests
    result = chest_training.out / "result"
    models = ("--model", f"final={result}@final", "--model", f"best={result}@best")
    export("evaluate", tmp_path, "min_patients=4", options=models)
    name, *others = sites
    patients = sorted({one.name.split("_")[0] for one in sites[name].iterdir()})
    file = tmp_path / "subgroups.csv"
    file.write_text(
        "patient,half,one\n"
        + "".join(f"{one},{'first' if n < 4 else 'second'},v{n}\n" for n, one in enumerate(patients))
    )
    options = ("--min-patients", "3", "--evaluates", name, "--subgroups", f"{name}={file}")
    done = simulate(tmp_path / "chest_ct_evaluate", sites, tmp_path / "two", *options)
    assert done.code == 0, done.stderr
    record = read_json(done.out / "result/model_evaluation.json")
    assert record["status"] == "finished"
    for model in record["models"].values():
        answers, missing = model["sites"], model["missing"]
        assert answers.keys() | missing.keys() == set(sites)
        whole = answers[name]
        assert whole["whole"]["patients"] == len(patients)
        assert whole["subgroups"]["half"].keys() == {"first", "second"}
        assert (whole["subgroups"]["one"], whole["withheld"]) == ({}, {"one": len(patients)})
        # Elsewhere three patients are kept from training: fewer than the job wants.
        assert {site: one["code"] for site, one in missing.items()} == dict.fromkeys(others, "few_patients")
    assert not [one for one in patients if one in json.dumps(record)]
    report = read_json(done.out / "report/report.json")
    dice = next(one for one in report["matrices"] if one["measure"]["title"] == "Dice")
    assert dice["worst"] == {"final": name, "best": name}
    assert "partial" in done.stderr
    again = tmp_path / "again"
    code, _, errors = run([PROGRAM, "report", str(done.out / "result"), "--out", str(again)])
    assert code == 1, errors
    assert (again / "models.csv").read_text() == (done.out / "report/models.csv").read_text()


def test_a_classification_is_compared_with_each_hospital_s_own_model(tmp_path, monkeypatch):
    path = os.pathsep.join(filter(None, [str(FUNDUS), os.environ.get("PYTHONPATH")]))
    monkeypatch.setitem(ENVIRONMENT, "PYTHONPATH", path)
    made, _ = command("cohort", tmp_path / "data", "--task", "fundus")
    sites = {name: Path(folder) for name, folder in (line.split("\t") for line in made.splitlines())}
    harbor, valley = "harbor", "valley"
    two = {name: sites[name] for name in (harbor, valley)}
    folders = [word for name, folder in two.items() for word in ("--site", f"{name}={folder}")]
    quick = ("--set", "rounds=1")
    command("train", "fundus_fedavg", *folders, *quick, "--out", tmp_path / "pooled")
    command("train", "fundus_fedavg", *folders[:2], *quick, "--out", tmp_path / "own")
    model = ("--model", f"pooled={tmp_path}/pooled/result@final", "--set", "local_only=true")
    command("jobs", "export", "fundus_evaluate", "--to", tmp_path, *model)
    options = ("--local-only-model", f"{harbor}={tmp_path}/own/result")
    done = simulate(tmp_path / "fundus_evaluate", two, tmp_path / "out", *options)
    assert done.code == 0, done.stderr
    record = read_json(done.out / "result/model_evaluation.json")
    own, pooled = record["models"]["local_only"], record["models"]["pooled"]
    assert (record["status"], own["digest"]) == ("finished", None)
    assert list(own["sites"]) == [harbor]
    assert own["missing"][valley]["code"] == "local_model"
    assert pooled["sites"].keys() == set(two)
    gain = pooled["sites"][harbor]["gains"]["kappa"]
    means = [one["sites"][harbor]["whole"]["measures"]["kappa"]["mean"] for one in (pooled, own)]
    assert abs(gain["mean"] - (means[0] - means[1])) < 1e-5
    assert pooled["sites"][valley]["gains"] == {}
    whole = pooled["sites"][harbor]["whole"]
    assert sum(whole["counts"].values()) == whole["cases"]
    assert str(tmp_path) not in (done.out / "result/model_evaluation.json").read_text()
    assert "success" in done.stderr
    assert (done.out / "report/models.svg").is_file()
