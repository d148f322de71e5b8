"""Scores are all of the task's, each in its range, or none."""

import math

import pytest
from anything import ANYTHING, NUMBERS
from hypothesis import given
from hypothesis import strategies as st

from consilium.records.scores import read_scores
from consilium.tasks import get_task
from consilium.tasks.segmentation.metrics import score_ranges, summarize

REGIONS = get_task("brain_tumor").targets
RANGES = score_ranges(REGIONS, distances=True)
HONEST = dict.fromkeys(RANGES, 0.5)


@pytest.mark.parametrize("distances", [True, False])
def test_the_ranges_are_of_what_a_site_works_out(distances):
    case = {f"dice_{region.name}": 0.5 for region in REGIONS}
    if distances:
        case |= {f"hd95_{region.name}": 374.0 for region in REGIONS}
    scores = summarize([case])
    assert read_scores(scores, score_ranges(REGIONS, distances=distances)) == scores


def test_a_site_may_keep_all_its_scores_to_itself():
    assert read_scores({}, RANGES) == {}


@given(st.sampled_from(list(RANGES)), ANYTHING | NUMBERS)
def test_a_score_out_of_its_range_is_refused(name, value):
    span = RANGES[name]
    try:
        scores = read_scores({**HONEST, name: value}, RANGES)
    except ValueError as error:
        told = str(error)
        scores = None
    else:
        told = ""
    assert told.isprintable()
    if scores is None:
        return
    assert type(scores[name]) is float
    assert math.isfinite(scores[name])
    assert span.low <= scores[name] <= span.high


@pytest.mark.parametrize(
    "said",
    [
        {"dice": 0.5},
        {name: 0.5 for name in RANGES if name != "hd95_et"},
        {**HONEST, "dice_of_another_task": 0.5},
        {**HONEST, "dice": 100.0},
        {**HONEST, "dice": -0.01},
        {**HONEST, "dice": True},
        {**HONEST, "hd95": 1e6},
        {**HONEST, "hd95": float("nan")},
    ],
)
def test_a_part_of_the_scores_others_and_impossible_ones_are_refused(said):
    with pytest.raises(ValueError, match=r"scores are missing|lies between|is no number"):
        read_scores(said, RANGES)
