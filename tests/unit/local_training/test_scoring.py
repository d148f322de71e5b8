"""Which round's model is the best one: by the rule of the job, as in the federation."""

from types import SimpleNamespace

import pytest
from records.test_model_comparison import record

from consilium.local_training.job import TrainingJob
from consilium.local_training.scoring import ModelScorer
from consilium.participant.site_data import SiteData
from consilium.records.model_comparison import selection_gain
from consilium.tasks import get_task

SITES = ("north", "south", "east")
BEFORE = dict(zip(SITES, (0.5, 0.5, 0.5), strict=True))
AFTER = [
    dict(zip(SITES, dice, strict=True))
    for dice in [(0.6, 0.6, 0.0), (0.51, 0.4, 0.9), (0.5, 0.4, 0.9), (0.55, 0.45, 0.52), (0.4, 0.4, 0.9)]
]
RULES = ("median", "mean", "worst_site", "patients")


def scorer(rule):
    patients = [SimpleNamespace(patient=f"P{number}") for number in range(4)]
    scorer = object.__new__(ModelScorer)
    scorer._task, scorer._selection = get_task("brain_tumor"), rule
    scorer._data = {site: SiteData((), tuple(patients)) for site in SITES}
    return scorer


def by_site(dice):
    return {site: {"dice": value} for site, value in dice.items()}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("after", AFTER, ids=str)
def test_a_round_is_better_where_it_is_in_the_federation(rule, after):
    if rule == "patients":
        better = sum(after.values()) > sum(BEFORE.values())  # all have as many
    else:
        better = selection_gain(record({}, BEFORE, after), 2, 1, rule) > 0
    assert scorer(rule).is_better(by_site(after), by_site(BEFORE)) == better


def test_the_rules_differ_in_what_is_better():
    found = {tuple(scorer(rule).is_better(by_site(one), by_site(BEFORE)) for one in AFTER) for rule in RULES}
    assert len(found) >= 3


def test_a_model_without_scores_is_never_the_best_and_the_first_with_some_is():
    assert not scorer("median").is_better({}, {})
    assert not scorer("median").is_better({}, by_site(BEFORE))
    assert scorer("median").is_better(by_site(BEFORE), {})


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_is_the_job_s(rule):
    assert TrainingJob.open("brain_tumor_fedavg", {"selection": rule}).selection == rule
