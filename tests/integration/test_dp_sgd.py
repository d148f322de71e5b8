"""A federation that trains with differential privacy, through the command line."""

import json
import sqlite3

import pytest

from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job

from .studies import SMALL, simulate

pytestmark = [pytest.mark.integration, pytest.mark.long]


@pytest.fixture(scope="module")
def private(hospitals, tmp_path_factory):
    folder = tmp_path_factory.mktemp("private")
    job = export_job(build_recipe("brain_tumor_dp_sgd", {**SMALL, "learning.batch_size": 4}), folder / "jobs")
    sites = {name: hospitals[name] for name in ("north", "south")}
    return simulate(job, sites, folder / "study", "--compare")


def test_it_trains_to_its_end(private):
    assert private.code == 0, private.stderr
    assert private.federation["status"] == "finished"
    assert [one["sites"]["north"]["outcome"] for one in private.federation["rounds"]] == ["trained"] * 2
    assert all(
        site["update_norm"] > 0 for one in private.federation["rounds"] for site in one["sites"].values()
    )


def test_no_loss_and_no_score_of_a_round_leaves_a_site(private):
    record = private.federation
    assert record["initial_scores"] == {}
    assert record["best_round"] is None
    for one in record["rounds"]:
        assert one["scores"] == {}
        for site in one["sites"].values():
            assert site["report"]["loss"] is None
            assert site["report"]["validation_cases"] is None
            assert site["report"]["validation_patients"] is None


def test_test_patients_are_scored_once_at_the_end_and_the_page_says_why_nobody_before(private):
    assert private.federation["final_scores"].keys() == {"north", "south"}
    page = (private.out / "report/index.html").read_text()
    assert "no score of validation patients did either" in page


def test_each_site_paid_for_its_rounds_before_it_trained(private):
    for site in ("north", "south"):
        state = private.out / "simulation" / site / "site_state"
        with sqlite3.connect(f"file:{state / 'privacy_ledger.sqlite'}?mode=ro", uri=True) as ledger:
            entries = [json.loads(content) for (content,) in ledger.execute("SELECT content FROM entries")]
        paid = [one for one in entries if one["kind"] == "payment"]
        assert [one["round_index"] for one in paid] == [0, 1]
        assert all(one["mechanisms"][0]["steps"] == SMALL["learning.local_steps"] for one in paid)


def test_the_models_to_compare_with_are_trained_without_noise_and_the_page_says_so(private):
    record = json.loads((private.out / "report/report.json").read_text())
    assert record["baseline_steps"] is not None
    assert {"north", "south", "pooled"} <= {path.stem for path in (private.out / "baselines").iterdir()}
    page = (private.out / "report/index.html").read_text()
    assert "The local-only and pooled models were trained without noise" in page
