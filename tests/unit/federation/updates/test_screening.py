import json

import numpy as np
import pytest

from consilium.federation.component_state import DurableState
from consilium.federation.updates.rejection_history import RejectedUpdate
from consilium.federation.updates.screening import Screening, ScreeningSettings
from consilium.records.federation import SiteReport
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

STEPS = BrainTumorSettings(local_steps=16)
EPOCHS = BrainTumorSettings(local_steps=None, local_epochs=2, batch_size=2)


def screening(learning=STEPS, rounds=10, **settings):
    return Screening(ScreeningSettings(**settings), learning, rounds)


def report(cases=10, steps=16, **fields):
    return SiteReport(
        **{"role": "trains", "train_cases": cases, "validation_cases": 2, "steps": steps, **fields}
    )


@pytest.mark.parametrize(
    ("said", "reported"),
    [
        (report(steps=0), "reports 0 steps of training, and the job asks for 16"),
        (report(steps=160), "reports 160 steps"),
        (report(cases=0), "0 training cases"),
        (report(role="evaluates"), "a site that evaluates"),
        (report(cases=16), "16 training cases, and the site had prepared 10; they may differ by 5"),
        (report(cases=4), "4 training cases"),
    ],
)
def test_counts_that_can_t_be_are_rejected(said, reported):
    known = screening()
    known.note_prepared("north", 10)
    with pytest.raises(RejectedUpdate, match=reported):
        known.check_counts("north", said)


@pytest.mark.parametrize("cases", [5, 9, 10, 15])
def test_cases_may_be_left_out_or_come_back_while_the_job_runs(cases):
    known = screening()
    known.note_prepared("north", 10)
    known.check_counts("north", report(cases=cases))


def test_with_a_time_limit_a_site_may_report_fewer_steps_and_never_more():
    known = screening(BrainTumorSettings(round_minutes=5.0))
    known.note_prepared("north", 10)
    for steps in (1, 7, 16):
        known.check_counts("north", report(steps=steps))
    for wrong in (0, 17):
        with pytest.raises(RejectedUpdate, match="the job asks for 1 to 16"):
            known.check_counts("north", report(steps=wrong))


@pytest.mark.parametrize("steps", [8, 9, 10])
def test_with_epochs_the_steps_are_those_of_the_cases_before_or_after_some_failed(steps):
    known = screening(EPOCHS)
    known.note_prepared("north", 10)
    known.check_counts("north", report(cases=8, steps=steps))
    for wrong in (7, 11):
        with pytest.raises(RejectedUpdate, match="the job asks for 8 to 10"):
            known.check_counts("north", report(cases=8, steps=wrong))


def test_a_site_that_joins_late_is_held_to_what_it_said_first():
    known = screening()
    known.check_counts("late", report(cases=40))
    with pytest.raises(RejectedUpdate, match="the site had prepared 40"):
        known.check_counts("late", report(cases=400))


def update(value):
    return {"a": np.full(3, float(value)), "b": np.zeros((2, 2))}


@pytest.mark.parametrize(
    ("site", "round_index", "reported"),
    [
        ("north", 3, "the same as its own of round 1"),
        ("south", 3, "the same as another site's of round 1"),
        ("south", 0, "the same as another site's of this round"),
    ],
)
def test_an_update_that_was_sent_before_is_rejected(site, round_index, reported):
    known = screening()
    known.check_repetition("north", update(1), 0)
    with pytest.raises(RejectedUpdate, match=reported):
        known.check_repetition(site, update(1), round_index)
    known.check_repetition(site, update(2), round_index)


def test_a_round_that_is_repeated_may_bring_the_same_update():
    known = screening()
    for _attempt in range(2):
        known.check_repetition("north", update(1), 0)


def test_a_replay_is_known_after_the_server_was_restarted():
    known, restarted = screening(), screening()
    known.check_repetition("north", update(1), 0)
    known.note_prepared("north", 10)
    known.accept({"north": 5.0})
    restarted.restore(DurableState(json.loads(json.dumps(known.state().values))))
    with pytest.raises(RejectedUpdate, match="its own of round 1"):
        restarted.check_repetition("north", update(1), 1)
    with pytest.raises(RejectedUpdate, match="had prepared 10"):
        restarted.check_counts("north", report(cases=100))
    assert restarted.outliers({"north": 50.0}).keys() == {"north"}


DEMO = [
    {"aster": 23.93, "birch": 23.7, "cedar": 23.95},
    {"aster": 15.6, "birch": 15.57, "cedar": 15.53},
    {"aster": 8.09, "birch": 9.04, "cedar": 7.59},
    {"aster": 3.5, "birch": 4.94, "cedar": 3.35},
    {"aster": 1.19, "birch": 1.66, "cedar": 1.92},
    {"aster": 0.28, "birch": 0.37, "cedar": 0.32},
]
"""Norms of the demo's updates: `make demo`, then `update_norm` in `runs/demo/result/federation.json`."""


@pytest.mark.parametrize("sites", [("aster", "birch", "cedar"), ("birch", "cedar"), ("aster", "cedar")])
@pytest.mark.parametrize("factor", [10, 1000])
def test_of_two_or_three_sites_one_that_multiplies_its_updates_is_found_in_every_round(sites, factor):
    for bad in sites:
        known = screening(rounds=6)
        for index, norms in enumerate(DEMO):
            paces = {site: known.pace(norms[site], 16, index) for site in sites}
            assert known.outliers(paces) == {}
            assert known.outliers({**paces, bad: factor * paces[bad]}).keys() == {bad}
            known.accept(paces)


@pytest.mark.parametrize(("factor", "bad"), [(10, 1), (10, 3), (1000, 4)])
def test_of_many_sites_those_far_from_the_median_are_rejected(factor, bad):
    random = np.random.default_rng(0)
    paces = {f"site-{index}": pace for index, pace in enumerate(random.lognormal(2, 0.3, 10))}
    known = screening()
    assert known.outliers(paces) == {}
    chosen = sorted(paces)[:bad]
    refused = known.outliers({**paces, **{site: factor * paces[site] for site in chosen}})
    assert sorted(refused) == chosen
    assert "times as long as the others'" in refused[chosen[0]]


def test_where_the_others_differ_much_more_is_needed_to_be_an_outlier():
    paces = {"a": 1.0, "b": 4.0, "c": 16.0, "d": 64.0}
    assert screening().outliers(paces) == {}


def test_a_short_update_does_not_make_an_honest_one_an_outlier():
    known = screening()
    assert known.outliers({"honest": 10.0, "too": 12.0, "short": 0.001}) == {}
    known.accept({"honest": 10.0, "too": 12.0})
    assert known.outliers({"honest": 9.0, "short": 0.001}) == {}


def test_the_only_site_is_compared_with_the_round_before():
    known = screening()
    assert known.outliers({"north": 10.0}) == {}
    known.accept({"north": 10.0})
    assert known.outliers({"north": 20.0}) == {}
    assert known.outliers({"north": 100.0}).keys() == {"north"}


def test_lengths_are_compared_only_where_the_job_says_so():
    assert screening(max_norm_ratio=None).outliers({"a": 1.0, "b": 1e9}) == {}


def test_the_pace_does_not_depend_on_rate_and_number_of_random_steps():
    random = np.random.default_rng(1)
    paces = []
    for learning, round_index in ((STEPS, 0), (STEPS, 9), (EPOCHS, 5)):
        known = screening(learning)
        for steps in (4, 64):
            rates = known.rates(steps, round_index)
            walk = sum(rate * random.standard_normal(10_000) for rate in rates)
            paces.append(known.pace(float(np.linalg.norm(walk)), steps, round_index))
    assert paces == pytest.approx([100.0] * 6, rel=0.05)
