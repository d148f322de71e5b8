"""A study in which nothing goes wrong, through the command line."""

from collections import Counter

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from consilium.learning.model_file import load_model
from consilium.learning.network_state import initial_weights
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

from .accounts import NO_OTHER_ACCOUNT, everything_in, open_to_others, opened_by_nobody
from .studies import SMALL

pytestmark = pytest.mark.integration

TRAINING = ("north", "south")
SITES = ("clinic", *TRAINING)
REGIONS = ("tc", "wt", "et")


def test_the_command_succeeds_and_prints_the_page(healthy):
    assert healthy.code == 0, healthy.stderr
    assert healthy.stdout == f"{healthy.out / 'report/index.html'}\n"


def test_a_person_sees_what_happens(healthy):
    assert "2 rounds at north, south, clinic" in healthy.stderr
    assert "federation: finished, mean Dice" in healthy.stderr
    assert "NOT part of the result" not in healthy.stderr
    assert "Warning" not in healthy.stderr
    assert "Traceback" not in healthy.stderr


def test_the_page_shows_every_site_and_needs_nothing_else(healthy):
    page = (healthy.out / "report/index.html").read_text()
    for site in SITES:
        assert site in page
    assert page.count("data:image/png;base64,") >= len(SITES)
    for elsewhere in ('src="http', "src='http", 'href="http://', '<link rel="stylesheet"'):
        assert elsewhere not in page


def test_the_report_has_the_promised_numbers(healthy):
    report = healthy.report
    assert (report["status"], report["warnings"]) == ("finished", [])
    scores = {"dice", "hd95", *(f"dice_{region}" for region in REGIONS)}
    assert report["summary"]["global"].keys() >= scores
    assert report["summary"].keys() >= {"global", "local", "pooled"}
    assert report["seconds"].keys() == {"cohort", "federated", "local", "pooled", "total"}
    assert 0 < report["seconds"]["federated"] <= report["seconds"]["total"]
    assert report["sites"].keys() == set(SITES)
    for site in report["sites"].values():
        assert site.keys() >= {"role", "train_cases", "validation_cases", "scored_cases", "global", "local"}
        assert site["global"].keys() >= scores
        assert site["left_out"] == {}


def test_every_case_is_used_once_in_one_of_three_sets(healthy):
    report, record = healthy.report, healthy.federation
    assert report["evaluated_on"] == "test"
    expected = {"north": (3, 1, 1), "south": (2, 1, 1), "clinic": (0, 0, 2)}
    sites = report["sites"]
    names = ("train_cases", "validation_cases", "scored_cases")
    assert {name: tuple(site[one] for one in names) for name, site in sites.items()} == expected
    for stage in ("preparation", "validation_sites", "final_sites"):
        said = {name: one["report"] for name, one in record[stage].items()}
        names = ("train_cases", "validation_cases", "test_cases")
        assert {name: tuple(one[key] for key in names) for name, one in said.items()} == expected
    page = (healthy.out / "report/index.html").read_text()
    assert '<th scope="col">Training</th><th scope="col">Validation</th><th scope="col">Test</th>' in page
    assert "on test patients" in page


def test_validation_patients_choose_the_model_and_test_patients_are_reported_on(healthy):
    record, metrics = healthy.federation, {one["name"] for one in healthy.report["metrics"]["metrics"]}
    assert "hd95" in metrics
    for scores in (record["initial_scores"], *(one["scores"] for one in record["rounds"])):
        assert scores.keys() == set(TRAINING)  # the clinic's patients choose nothing
        assert all("hd95" not in one for one in scores.values())
    assert record["best_round"] in (1, 2)
    assert record["final_scores"].keys() == record["best_scores"].keys() == set(SITES)
    assert all("hd95" in one for one in record["final_scores"].values())
    assert (record["best_sites"] == {}) == (record["best_round"] == 2)


def test_means_are_over_sites(healthy):
    report = healthy.report
    dice = [site["global"]["dice"] for site in report["sites"].values()]
    assert report["summary"]["global"]["dice"] == pytest.approx(np.mean(dice))
    assert report["summary"]["worst_site_score"] == min(dice)
    assert report["sites"][report["summary"]["worst_site"]]["global"]["dice"] == min(dice)


def test_training_sites_share_the_aggregate_by_cases_and_the_clinic_has_no_part_in_it(healthy):
    rounds = healthy.report["rounds"]
    assert [one["number"] for one in rounds] == [1, 2]
    for one in rounds:
        weights = {name: site["weight"] for name, site in one["sites"].items()}
        assert weights == pytest.approx({"north": 3 / 5, "south": 2 / 5, "clinic": 0})
        outcomes = Counter(site["outcome"] for site in one["sites"].values())
        assert outcomes == {"trained": 2, "evaluated": 1}
        assert one["sites"]["clinic"]["steps"] == 0
        assert one["sites"]["north"]["steps"] == SMALL["learning.local_steps"]


def test_every_site_with_validation_patients_evaluates_every_rounds_model(healthy):
    for one in healthy.report["rounds"]:
        for name in TRAINING:
            scores = one["sites"][name]["scores"]
            assert all(0 <= scores[f"dice_{region}"] <= 1 for region in REGIONS)
        assert one["sites"]["clinic"]["scores"] is None
        mean = np.mean([one["sites"][name]["scores"]["dice"] for name in TRAINING])
        assert one["scores"]["dice"] == pytest.approx(mean)
    assert healthy.report["compared_sites"] == sorted(TRAINING)
    assert healthy.report["initial_scores"].keys() == set(TRAINING)


def test_only_training_sites_send_a_model(healthy):
    model = (healthy.out / "result/model.safetensors").stat().st_size
    traffic = healthy.report["bytes"]
    for site in TRAINING:
        assert 2 * 0.95 * model < traffic[site]["sent"] < 2 * 1.2 * model
    assert 0 < traffic["clinic"]["sent"] < 0.1 * model
    # Two rounds, their last model's validation, and the test of the final and the best model.
    models = 4 if healthy.report["best_round"] == 2 else 5
    for site in SITES:
        assert models * 0.95 * model < traffic[site]["received"] < models * 1.2 * model


def test_the_model_has_learned_something_finite(healthy):
    weights, metadata = load_model(healthy.out / "result/model.safetensors")
    learning = BrainTumorSettings()
    initial = initial_weights(get_task(learning.task), learning, learning.seed)
    assert weights.keys() == initial.keys()
    assert all(np.isfinite(value).all() for value in weights.values())
    assert any(not np.array_equal(value, initial[name]) for name, value in weights.items())
    assert metadata["round"] == "2"


def test_flares_own_metric_files_are_there(healthy):
    lines = (healthy.out / "result/metrics/round_metrics.jsonl").read_text().splitlines()
    assert len(lines) == SMALL["rounds"]
    assert all('"dice_wt"' in line for line in lines)
    for site in SITES:
        events = EventAccumulator(str(healthy.out / "result/tb_events" / site)).Reload()
        tags = set(events.Tags()["scalars"])
        assert ("validation/dice" in tags) == (site in TRAINING)
        assert ("train/loss" in tags) == (site in TRAINING)


def test_everyone_sees_which_versions_ran(healthy):
    versions = healthy.report["versions"]
    assert versions["server"].keys() >= {"python", "consilium", "nvflare", "monai", "torch"}
    assert versions["sites"] == dict.fromkeys(SITES, versions["server"])


def test_no_other_account_can_open_anything_of_a_study(healthy):
    written = everything_in(healthy.out)
    names = {path.name for path in written}
    assert names >= {
        "image.npy",
        "log.txt",
        "flare.log",
        "model.safetensors",
        "index.html",
        "patient_north.png",
    }
    assert open_to_others(written) == {}
    if NO_OTHER_ACCOUNT is None:
        assert opened_by_nobody(written) == []
