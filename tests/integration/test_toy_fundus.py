"""A 2D classification of another package in FLARE's simulator: training, readiness and statistics."""

import os
import re
import sys
from html import unescape
from pathlib import Path

import pytest

from .studies import ENVIRONMENT, read_json, simulate
from .studies import run as start

pytestmark = pytest.mark.integration

PACKAGE = Path(__file__).parents[1] / "toys" / "fundus"
OTHER_KINDS = re.compile(
    r"\b(brain|head|tumou?r|voxels?|volumes?|dice|hd95|regions?|patch(es)?|mm|ml|segment\w*|modalit\w+|slices?|"
    r"scann?e?r?s?|anterior)\b",
    re.I,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Simulate a job of the task at two hospitals; returns what it left and the text of its page."""
    folder = tmp_path_factory.mktemp("fundus")
    path = os.pathsep.join([str(PACKAGE), *filter(None, [os.environ.get("PYTHONPATH")])])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENVIRONMENT, "PYTHONPATH", path)
        program = Path(sys.executable).with_name("consilium")
        code, out, reported = start([str(program), "cohort", str(folder / "data"), "--task", "fundus"])
        assert code == 0, reported
        made = dict(line.split("\t") for line in out.splitlines())

        def run(name, *options, rounds=None):
            changes = [] if rounds is None else ["--set", f"rounds={rounds}"]
            words = ["jobs", "export", name, "--to", str(folder / "jobs"), *changes]
            code, _, reported = start([str(program), *words])
            assert code == 0, reported
            sites = {site: Path(made[site]) for site in ("harbor", "valley")}
            study = simulate(folder / "jobs" / name, sites, folder / name, *options)
            assert study.code == 0, study.stderr
            assert OTHER_KINDS.findall(study.stdout + study.stderr) == []
            page = (study.out / "report/index.html").read_text(encoding="utf-8")
            text = unescape(re.sub(r"<[^>]*>", " ", re.sub(r"(?s)<style>.*?</style>", "", page)))
            return study, re.sub(r"\s+", " ", text)

        yield run


@pytest.mark.long
def test_it_is_trained_and_reported_by_the_kappa_of_all_patients(run):
    study, text = run("fundus_fedavg", "--local-only", rounds=2)
    federation = study.federation
    sites = federation["final_scores"]
    assert set(sites) == {"harbor", "valley"}
    metrics = federation["metrics"]["metrics"]
    counts = [one["name"] for one in metrics if one["combines"] == "sum"]
    sums = {name: sum(scores[name] for scores in sites.values()) for name in counts}
    cases = [site["report"]["test_cases"] for site in federation["final_sites"].values()]
    assert sum(sums.values()) == sum(cases) > 10
    right = sum(sums[f"true_{grade}_found_{grade}"] for grade in range(5))
    together = study.report["summary"]["global"]
    assert together["accuracy"] == pytest.approx(right / sum(cases))
    assert together["kappa"] > 0.2  # it has learned something
    assert "Gain in Kappa over the hospital's own model" in text
    assert OTHER_KINDS.findall(text) == []


@pytest.mark.long
def test_the_check_counts_cases_and_the_size_of_photographs(run):
    study, text = run("fundus_check")
    sites = read_json(study.out / "result/readiness.json")["sites"]
    assert {name: (site["can"], site["usable_cases"]) for name, site in sites.items()} == {
        "harbor": ("train", 32),
        "valley": ("train", 32),
    }
    assert sites["harbor"]["grid"] == {"shape": [48, 48], "spacing_mm": None}
    assert "48 \N{MULTIPLICATION SIGN} 48 pixels" in text
    assert OTHER_KINDS.findall(text) == []


@pytest.mark.long
def test_the_statistics_are_of_its_features(run):
    study, text = run("fundus_stats")
    features = read_json(study.out / "result/statistics.json")["features"]
    assert list(features) == ["brightness_left", "brightness_right", "grade_patient"]
    assert "Grade, 0 to 4: means over a hospital's patients" in text
    assert OTHER_KINDS.findall(text) == []
