import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilium.federation.component_state import DurableState
from consilium.federation.rounds.rollback import Rollback
from consilium.records.federation import FederationRecord, RoundRecord
from consilium.tasks import get_task

GOOD, BAD = {"w": np.zeros(1)}, {"w": np.ones(1)}
BEFORE = {"north": 0.8, "south": 0.7, "east": 0.6}
ROUND = 5


def record_of(before, after, excluded=()):
    """A job whose round 4 and 5 made models with these Dice, by site."""
    scores = [{site: {"dice": dice} for site, dice in one.items()} for one in (before, after)]
    rounds = [RoundRecord(number=number, seconds=1.0, sites={}) for number in range(1, ROUND + 1)]
    rounds[-2].scores, rounds[-1].scores = scores
    return FederationRecord(
        job="a job",
        task="brain_tumor",
        title="Brain tumor segmentation",
        metrics=get_task("brain_tumor").evaluation.metrics,
        rounds_planned=9,
        settings={},
        rounds=rounds,
        excluded=list(excluded),
    )


def evaluated(after, margin=0.1, before=BEFORE, excluded=()):
    rollback, record = Rollback(margin), record_of(before, after, excluded)
    rollback.keep(GOOD)
    restored = rollback.evaluate(record, ROUND)
    assert restored is None or restored[0] is GOOD
    assert rollback.start(ROUND, BAD) is (BAD if restored is None else GOOD)
    return rollback, record, restored and restored[1]


def test_a_model_that_scores_lower_by_more_than_the_margin_gives_way_to_the_one_before():
    rollback, _, reason = evaluated({"north": 0.5, "south": 0.4, "east": 0.4})
    assert reason == (
        "its model is at least 0.300 worse than that of round 4 in mean Dice at more than half of 3 sites, "
        "and rollback_margin is 0.1; that of round 4 was restored"
    )
    assert rollback.start(ROUND + 1, BAD) is BAD


@pytest.mark.parametrize(
    "after",
    [
        {"north": 0.71, "south": 0.61, "east": 0.51},
        {"north": 0.0, "south": 0.7, "east": 0.6},
        {"north": 0.0},  # alone, where three take part
        {"north": 0.0, "south": 0.7},
        {"north": 0.0, "west": 0.0, "far": 0.0},  # two of them did not evaluate the model before
        {"west": 0.0},
        {},
    ],
)
def test_any_other_model_stays(after):
    assert evaluated(after)[2] is None


def test_two_of_three_sites_are_enough_if_they_agree():
    assert "of 3 sites, 1 of which did not evaluate both" in evaluated({"north": 0.0, "east": 0.0})[2]


@pytest.mark.parametrize(("after", "dropped"), [((0.0, 0.7), False), ((0.0, 0.6), False), ((0.0, 0.5), True)])
def test_of_two_sites_both_have_to_agree(after, dropped):
    """The second one's score fell by 0, by less than the margin, and by more."""
    two = {"north": 0.8, "south": 0.69}
    after = dict(zip(two, after, strict=True))
    assert bool(evaluated(after, before=two)[2]) == dropped


def test_one_site_alone_decides_for_itself():
    assert evaluated({"north": 0.0}, before={"north": 0.8})[2]


def test_two_false_sites_of_four_drop_nothing():
    four = {**BEFORE, "west": 0.5}
    assert evaluated({**four, "north": 0.0, "south": 0.0}, before=four)[2] is None


def test_an_excluded_site_has_no_say():
    after = {"north": 0.8, "south": 0.0, "east": 0.0}
    assert evaluated(after)[2]
    assert evaluated(after, excluded=["east"])[2] is None
    assert evaluated({"south": 0.0, "east": 0.0}, excluded=["north"])[2]


def test_a_round_goes_back_once():
    rollback, record, reason = evaluated(dict.fromkeys(BEFORE, 0.0))
    record.rounds[-1].rolled_back = reason
    assert rollback.evaluate(record, ROUND) is None
    assert rollback.start(ROUND, BAD) is GOOD  # in its next attempt, too


def test_scores_that_come_with_a_second_attempt_count_as_well():
    rollback, record, reason = evaluated({"north": 0.0})
    assert reason is None
    record.rounds[-1].scores["south"] = {"dice": 0.0}
    assert rollback.evaluate(record, ROUND) is not None


def test_the_comparison_is_with_the_last_model_that_was_kept():
    rollback, record = Rollback(0.1), record_of(dict.fromkeys(BEFORE, 0.0), dict.fromkeys(BEFORE, 0.5))
    record.rounds[-2].rolled_back, record.rounds[-3].rolled_back = "worse", "worse"
    record.rounds[1].scores = {site: {"dice": dice} for site, dice in BEFORE.items()}
    rollback.keep(GOOD)
    assert "worse than that of round 2" in rollback.evaluate(record, ROUND)[1]
    for one in record.rounds[:-1]:
        one.rolled_back = "worse"
    record.initial_scores = record.rounds[1].scores
    rollback.keep(GOOD)
    assert "the initial one was restored" in rollback.evaluate(record, ROUND)[1]


def test_a_model_that_a_round_without_an_update_follows_is_evaluated_all_the_same():
    """With sums, scores come with the update only: a site that has a round skipped hides no bad model."""
    record = record_of(dict.fromkeys(BEFORE, 0.0), {})
    record.rounds[-3].scores = {site: {"dice": dice} for site, dice in BEFORE.items()}
    record.rounds[-1].rolled_back = "its sum could not be opened"
    rollback = Rollback(0.1)
    rollback.keep(GOOD)
    assert "worse than that of round 3" in rollback.evaluate(record, ROUND)[1]
    assert rollback.start(ROUND, BAD) is GOOD


def test_nothing_goes_back_without_a_margin():
    assert evaluated(dict.fromkeys(BEFORE, 0.0), margin=None)[2] is None


def test_a_rollback_that_was_durable_restores_the_same_model():
    rollback, resumed = Rollback(0.1), Rollback(0.1)
    assert not rollback.state().arrays
    rollback.keep(GOOD, DurableState({"t": 1}, {"momentum/w": np.ones(1)}))
    resumed.restore(rollback.state())
    restored = resumed.evaluate(record_of(BEFORE, dict.fromkeys(BEFORE, 0.0)), ROUND)[0]
    np.testing.assert_equal(restored, GOOD)
    np.testing.assert_equal(resumed.algorithm_before.arrays, {"momentum/w": np.ones(1)})
    assert resumed.algorithm_before.values == {"t": 1}


dice = st.floats(0, 1)


@given(st.lists(st.tuples(dice, dice), min_size=1, max_size=6), st.tuples(st.none() | dice, st.none() | dice))
def test_for_any_scores_one_site_drops_no_round_that_another_wants_to_keep(honest, liar):
    honest = [(before, max(before, after)) for before, after in honest]
    before, after = (
        {f"site-{place}": pair[side] for place, pair in enumerate([*honest, liar]) if pair[side] is not None}
        for side in (0, 1)
    )
    assert evaluated(after, before=before)[2] is None
