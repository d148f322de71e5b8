"""Scores are all of the task's, each in its range, or none."""

import math

import pytest
from anything import ANYTHING, NUMBERS
from hypothesis import given
from hypothesis import strategies as st

from consilium.records.score_bounds import read_scores
from consilium.tasks import get_task
from consilium.tasks.partial_labels import partial_evaluation

EVALUATION = get_task("brain_tumor").evaluation
METRICS = EVALUATION.metrics
HONEST = {one.name: 0.5 for one in METRICS.metrics}


def read(said):
    return read_scores(said, EVALUATION, final=True, cases=5)


@pytest.mark.parametrize("final", [True, False])
def test_what_a_site_works_out_is_read_as_it_is(final):
    case = {one.name: 0.375 for one in METRICS.in_round(final=final) if one.is_measured}
    scores = EVALUATION.summarize([case])
    assert read_scores(scores, EVALUATION, final=final, cases=1) == scores


def test_a_site_without_a_region_sends_no_score_of_it():
    part = partial_evaluation(EVALUATION, ["et"])
    said = {name: 0.5 for name in HONEST if not name.endswith("_et")}
    assert read_scores(said, part, final=True, cases=5) == said
    with pytest.raises(ValueError, match="0 of 4 scores are missing and 2 are unknown"):
        read_scores(HONEST, part, final=True, cases=5)


def test_a_site_may_keep_all_its_scores_to_itself():
    assert read({}) == {}


@given(st.sampled_from([one.name for one in METRICS.metrics]), ANYTHING | NUMBERS)
def test_a_score_out_of_its_range_is_rejected(name, value):
    metric = METRICS[name]
    try:
        scores = read({**HONEST, name: value})
    except ValueError as error:
        reported = str(error)
        scores = None
    else:
        reported = ""
    assert reported.isprintable()
    if scores is None:
        return
    assert type(scores[name]) is float
    assert math.isfinite(scores[name])
    assert metric.low <= scores[name] <= metric.high


@pytest.mark.parametrize("lie", [0.9, 100.0, math.nan, "a text", None])
def test_nobody_is_believed_about_what_follows_from_other_scores(lie):
    assert read({**HONEST, "dice": lie})["dice"] == 0.5


@pytest.mark.parametrize(
    "said",
    [
        {"dice": 0.5},
        {name: 0.5 for name in HONEST if name != "hd95_et"},
        {**HONEST, "dice_of_another_task": 0.5},
        {**HONEST, "dice_wt": 100.0},
        {**HONEST, "dice_wt": -0.01},
        {**HONEST, "dice_wt": True},
        {**HONEST, "hd95_wt": 1e6},
        {**HONEST, "hd95_wt": float("nan")},
    ],
)
def test_a_part_of_the_scores_others_and_impossible_ones_are_rejected(said):
    with pytest.raises(ValueError, match=r"scores are missing|lies between|is no number"):
        read(said)
