import numpy as np
import pytest

from consilium.federation.rounds.rollback import Rollback

GOOD, BAD = {"w": np.zeros(1)}, {"w": np.ones(1)}
BEFORE = {"north": 0.8, "south": 0.7, "east": 0.6}


def judged(after, margin=0.1):
    rollback = Rollback(margin)
    rollback.keep(GOOD, BEFORE)
    return rollback, rollback.judge(5, after)


def test_a_model_that_scores_lower_by_more_than_the_margin_gives_way_to_the_one_before():
    rollback, reason = judged({"north": 0.5, "south": 0.4, "east": 0.4})
    assert reason == (
        "its model scored 0.300 lower than the one before, in the median of 3 site(s), and "
        "rollback_margin is 0.1; the one before was restored"
    )
    assert rollback.start(5, BAD) is GOOD
    assert rollback.went_back(5)
    assert rollback.start(6, BAD) is BAD


@pytest.mark.parametrize(
    "after",
    [
        {"north": 0.71, "south": 0.61, "east": 0.51},
        {"north": 0.0, "south": 0.7, "east": 0.6},  # a single site, which may not tell the truth
        {"west": 0.0},  # it did not judge the model before
        {},
    ],
)
def test_any_other_model_stays(after):
    rollback, reason = judged(after)
    assert reason is None
    assert rollback.start(5, BAD) is BAD


def test_a_round_goes_back_once():
    rollback, _ = judged({"north": 0.0, "south": 0.0})
    assert rollback.judge(5, {"north": -1.0, "south": -1.0}) is None
    assert rollback.start(5, BAD) is GOOD  # in its next attempt, too


def test_nothing_goes_back_without_a_margin():
    assert judged({"north": 0.0, "south": 0.0}, margin=None)[1] is None
