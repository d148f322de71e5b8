import json

import pytest

from consilium.tasks import get_task
from nnunet_parts.results import Outcome, summarize, table

TASK = get_task("brain_tumor")
REGIONS = [region.name for region in TASK.targets]
PATIENTS = ["JOHN", "JANE", "JIM", "JACK", "JILL"]


def outcome(dice, *, seconds=100.0, steps=96):
    """The same Dice for every region of a case, one case a value."""
    scores = [
        {**{f"dice_{name}": one for name in REGIONS}, **{f"hd95_{name}": 4.0 for name in REGIONS}}
        for one in dice
    ]
    return Outcome(steps, 3 * steps, 482_000, seconds, 10.0, 2.0, scores)


def summary(**ways):
    return summarize(ways, TASK.evaluation, PATIENTS, baseline="ours")


def test_an_outcome_is_read_as_it_was_written(tmp_path):
    made = outcome([0.5, 0.7])
    made.save(tmp_path / "plain.json")
    assert Outcome.load_file(tmp_path / "plain.json") == made
    assert Outcome.load_file(tmp_path / "mirrored.json") is None


def test_means_are_over_patients_then_seeds():
    one = summary(ours={0: outcome([0.5, 0.6, 0.7, 0.8, 0.9]), 1: outcome([0.3] * 5, seconds=300)})["ours"]
    assert one["seeds"]["0"]["scores"]["dice"] == pytest.approx(0.7)
    assert one["mean"]["dice"] == pytest.approx(0.5)
    assert one["mean"]["hd95"] == pytest.approx(4.0)
    assert one["train_seconds"] == 200
    assert one["predict_seconds_a_case"] == 2
    assert "compared" not in one


def test_a_way_is_compared_patient_by_patient_and_seed_by_seed():
    ours = {0: outcome([0.5, 0.6, 0.7, 0.8, 0.9]), 1: outcome([0.1] * 5)}
    other = {0: outcome([0.6, 0.7, 0.8, 0.9, 1.0], seconds=250)}
    compared = summary(ours=ours, cut=other)["cut"]["compared"]
    assert compared["seeds"] == 1
    assert compared["dice_difference"] == pytest.approx(0.1)
    assert compared["interval_over_patients"] == pytest.approx([0.1, 0.1])
    assert compared["train_seconds_ratio"] == 2.5


def test_too_few_patients_have_no_interval():
    ways = {"ours": {0: outcome([0.5, 0.6, 0.7])}, "cut": {0: outcome([0.6, 0.6, 0.6])}}
    compared = summarize(ways, TASK.evaluation, PATIENTS[:3], baseline="ours")["cut"]["compared"]
    assert compared["interval_over_patients"] is None


def test_a_summary_holds_nothing_of_one_patient():
    text = json.dumps(summary(ours={0: outcome([0.51, 0.62, 0.73, 0.84, 0.95])}))
    assert not any(name in text for name in PATIENTS)
    assert not any(value in text for value in ("0.51", "0.62", "0.84", "0.95"))


def test_the_table_has_a_row_for_each_way():
    found = summary(ours={0: outcome([0.5] * 5)}, cut={0: outcome([0.6] * 5, seconds=250)})
    rows = table(found, {"ours": "ours", "cut": "cut plan"}, REGIONS).splitlines()
    assert len({row.count("|") for row in rows}) == 1
    assert rows[2].startswith("| ours, 1 seed | 96 | 288 | 482000 | 0.500 |")
    assert rows[3].startswith("| cut plan, 1 seed |")
    assert "| +0.100 (+0.100 to +0.100) | 250 | 2.50 |" in rows[3]
