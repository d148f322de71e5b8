"""Which round's model is the best: by example, and for any scores, missing sites, drops and interruptions."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from consilium.errors import ConfigurationError
from consilium.federation.rounds.best_model import BestModel
from consilium.records.federation import FederationRecord, RoundRecord, SiteReport, SiteRound
from consilium.records.model_comparison import parse_selection
from consilium.tasks import get_task

SITES = ["north", "south", "east", "west", "clinic"]
GRID = 64  # scores are multiples of 1/64, so that differences are exact


class Published:
    """Stands for FLARE's components, which hear of the best model."""

    def __init__(self):
        self.rounds = []

    def announce_best(self, number, weights, scores, metric):
        assert metric.name == "dice"
        assert weights["w"][0] == number
        self.rounds.append(number)


def scores_of(evaluation):
    return {site: {"dice": dice / GRID} for site, dice in evaluation.items() if dice is not None}


def new_record(initial=(), excluded=()):
    return FederationRecord(
        job="a job",
        task="brain_tumor",
        title="Brain tumor segmentation",
        metrics=get_task("brain_tumor").evaluation.metrics,
        rounds_planned=1,
        settings={},
        initial_scores=scores_of(dict(initial)),
        excluded=list(excluded),
    )


def select(evaluations, *, dropped=(), resume_after=None, rule="median", patients=(), **of_record):
    """Return the best round after each round, as a job would find it; its scores come one round later."""
    record, published, history = new_record(**of_record), Published(), []
    counts = {"role": "trains", "train_cases": 1, "validation_cases": 1}
    record.preparation = {
        site: SiteRound(outcome="ready", report=SiteReport(**counts, validation_patients=number))
        for site, number in dict(patients).items()
    }
    best = BestModel(published, rule)
    for number, evaluation in enumerate(evaluations, start=1):
        record.rounds.append(RoundRecord(number=number, seconds=1.0, sites={}))
        if number == resume_after:
            record, published = FederationRecord.model_validate_json(record.model_dump_json()), Published()
            best = BestModel(published, rule)
            best.restore(record, record.best_round and {"w": np.full(1, record.best_round)})
        record.rounds[-1].scores = scores_of(evaluation)
        record.rounds[-1].rolled_back = "worse" if number in dropped else None
        best.consider(record, number, {"w": np.full(1, number)})
        history.append(record.best_round)
        assert published.rounds[-1:] == [record.best_round][: record.best_round is not None]
    return history


def all_sites(*values):
    return dict(zip(SITES, values, strict=False))


def test_a_hard_hospital_that_misses_a_round_does_not_make_it_the_best():
    """By the mean over the sites that answered, round 2 would be: 60 against 43."""
    assert select([all_sites(60, 60, 10), all_sites(60, 60, None), all_sites(61, 61, 11)]) == [1, 1, 3]


def test_an_easy_hospital_that_misses_a_round_does_not_keep_it_from_being_the_best():
    assert select([all_sites(60, 20, 20), all_sites(None, 25, 25)]) == [1, 2]


@pytest.mark.parametrize("lie", [0, 64])
def test_one_site_s_false_score_neither_makes_a_round_the_best_nor_keeps_it(lie):
    honest = [10, 20, 30, 25, 40]
    rounds = [all_sites(dice, dice, lie if number == 3 else 30) for number, dice in enumerate(honest)]
    assert select(rounds) == [1, 2, 3, 3, 5]


def test_of_two_sites_the_mean_of_the_differences_decides():
    assert select([all_sites(60, 10), all_sites(40, 40), all_sites(60, 15)]) == [1, 2, 2]


def test_the_first_model_with_a_score_is_the_best_until_more_sites_have_evaluated_one():
    rounds = [{}, all_sites(None, None, 60), all_sites(20, 20, 20), all_sites(None, None, 64)]
    assert select(rounds) == [None, 2, 3, 3]


def test_sites_that_join_get_their_say():
    few, many = all_sites(50, 50), all_sites(50, 50, 10, 10, 10)
    assert select([few, many, all_sites(51, 51, 9, 9, 9)]) == [1, 2, 2]


def test_a_model_that_most_sites_evaluated_does_not_give_way_to_one_that_few_did():
    rounds = [all_sites(10, 10, 10, 10), all_sites(60, 60, None, None), all_sites(None, 9, 9, 64)]
    assert select(rounds) == [1, 1, 1]


def test_a_model_that_most_sites_evaluated_stays_where_too_few_evaluated_both():
    assert select([all_sites(10, 10, 10), all_sites(60, 60, None, 60, 60)]) == [1, 1]


def test_the_two_that_are_left_of_three_sites_have_to_agree():
    rounds = [all_sites(10, 10, 10), all_sites(64, 9, None), all_sites(11, 11, None), all_sites(64, 1, None)]
    assert select(rounds) == [1, 1, 3, 3]


def test_nobody_s_scores_are_no_candidate():
    assert select([{}, {}, all_sites(1, 1), {}]) == [None, None, 3, 3]


def test_a_best_model_whose_weights_are_lost_is_none():
    record, published = new_record(), Published()
    record.best_round = 1
    BestModel(published).restore(record, None)
    assert (record.best_round, published.rounds) == (None, [])


dice = st.integers(0, GRID)
evaluations = st.lists(st.fixed_dictionaries({site: st.none() | dice for site in SITES}), max_size=8)
complete = st.lists(st.fixed_dictionaries(dict.fromkeys(SITES, dice)), max_size=8)


@given(evaluations, st.sets(st.sampled_from(SITES)))
def test_for_any_scores_the_best_does_not_change_by_a_round_that_only_lacks_sites(rounds, missing):
    history = select(rounds)
    assume(rounds and history[-1] is not None)
    again = {site: dice for site, dice in rounds[history[-1] - 1].items() if site not in missing}
    assert select([*rounds, again]) == [*history, history[-1]]


@given(evaluations, st.sampled_from(SITES), st.integers(-GRID, GRID))
def test_for_any_scores_a_site_with_harder_patients_selects_the_same(rounds, site, shift):
    def shifted(evaluation):
        return {
            name: dice + shift if name == site and dice is not None else dice
            for name, dice in evaluation.items()
        }

    assert select([shifted(one) for one in rounds]) == select(rounds)


@given(evaluations, st.permutations(SITES))
def test_for_any_scores_the_sites_names_play_no_part(rounds, names):
    new_name = dict(zip(SITES, names, strict=True))
    renamed = [{new_name[site]: dice for site, dice in one.items()} for one in rounds]
    assert select(renamed) == select(rounds)


@given(evaluations, st.sets(st.integers(1, 8)))
def test_for_any_scores_a_dropped_round_is_never_the_best(rounds, dropped):
    assert not dropped & set(select(rounds, dropped=dropped))


@given(evaluations, st.integers(1, 8), st.sets(st.integers(1, 8), max_size=2))
def test_for_any_scores_a_resumed_job_selects_the_same(rounds, after, dropped):
    resumed = select(rounds, dropped=dropped, resume_after=after)
    assert resumed == select(rounds, dropped=dropped)


@given(evaluations, st.sampled_from(SITES))
def test_for_any_scores_an_excluded_site_is_as_one_that_never_sent_any(rounds, site):
    without = [{name: dice for name, dice in one.items() if name != site} for one in rounds]
    assert select(rounds, excluded=[site]) == select(without)


@given(
    st.integers(3, len(SITES)),
    st.lists(st.tuples(dice, dice), min_size=4, max_size=4),
    st.tuples(st.none() | dice, st.none() | dice),
)
def test_for_any_scores_one_site_can_t_outvote_two_that_agree(count, honest, liar):
    honest = honest[: count - 1]
    better = all(new > old for old, new in honest)
    worse = all(new <= old for old, new in honest)
    assume(better or worse)
    old, new = (all_sites(*(pair[place] for pair in honest), liar[place]) for place in (0, 1))
    assert select([old, new]) == [1, 2 if better else 1]


@given(complete)
def test_for_any_complete_scores_the_best_is_better_at_most_sites_than_the_best_before(rounds):
    history = select(rounds)
    for before, after in pairwise(history):
        if before != after:
            assert after is not None
            gains = [rounds[after - 1][site] - rounds[before - 1][site] for site in SITES]
            assert sum(gain > 0 for gain in gains) > len(SITES) / 2


RULES = ("mean", "worst_site", "patients")


@pytest.mark.parametrize(
    ("rule", "expected"), [("median", [1, 2]), ("mean", [1, 2]), ("worst_site", [1, 1]), ("patients", [1, 1])]
)
def test_the_rule_decides_which_round_is_the_best(rule, expected):
    """The large hospital, where the model is worst, loses what two small ones gain."""
    rounds = [all_sites(30, 40, 40), all_sites(26, 44, 44)]
    assert select(rounds, rule=rule, patients=all_sites(80, 10, 10)) == expected


def test_no_hospital_s_number_of_patients_outweighs_all_others():
    rounds = [all_sites(30, 30, 30), all_sites(34, 25, 25)]
    assert select(rounds, rule="patients", patients=all_sites(100_000, 1, 1)) == [1, 1]


@pytest.mark.parametrize("rule", RULES)
def test_by_the_other_rules_a_round_that_a_site_missed_is_not_compared(rule):
    rounds = [all_sites(30, 30), all_sites(60, None), all_sites(31, 31), all_sites(None, 60)]
    assert select(rounds, rule=rule, patients=all_sites(3, 3)) == [1, 1, 3, 3]


@pytest.mark.parametrize("rule", RULES)
def test_a_model_that_was_the_best_before_a_site_came_gives_way_to_one_that_all_evaluated(rule):
    rounds = [all_sites(60), all_sites(40, 40), all_sites(39, 41)]
    assert select(rounds, rule=rule, patients=all_sites(3, 3))[:2] == [1, 2]


@pytest.mark.parametrize("rule", RULES)
@given(evaluations)
def test_by_the_other_rules_too_a_resumed_job_selects_the_same(rule, rounds):
    assert select(rounds, rule=rule, resume_after=3) == select(rounds, rule=rule)


def test_an_unknown_rule_is_rejected():
    with pytest.raises(ConfigurationError, match="allowed: median, mean, worst_site, patients"):
        parse_selection("best")
