"""What a hospital decides changes what leaves, and a count is never behind fewer patients than it says."""

from dataclasses import fields, replace

import pytest

from consilium.privacy.demand import PrivacyDemand
from consilium.privacy.hospital_noise import HospitalNoise
from consilium.privacy.promise import PrivacyLevel
from consilium.recipes.catalog import build_recipe
from consilium.recipes.privacy_facts import facts_of_recipe
from consilium.report.privacy.build import state_privacy
from consilium.report.privacy.facts import AggregationFacts, BudgetFacts, SiteFacts

HOSPITAL = SiteFacts(name="north", streams_logs=False)
SPENT = BudgetFacts(jobs=3, payments=40, spent=2.5, head="40 abc")
UNBOUNDED = BudgetFacts(jobs=0, payments=0, spent=0.0, head="5 abc", jobs_without_noise=2)
NOISE = HospitalNoise(clip=1.0, noise_multiplier=2.0)
SUMS = AggregationFacts(peers=5, fewest=4, threshold=5, honest=2)

MATTERS = [
    ("brain_tumor_fedavg", {"role": "evaluates"}, "This hospital only evaluates the models"),
    ("brain_tumor_fedavg", {"min_training_patients": 12}, "at least 12 patients"),
    ("brain_tumor_fedavg", {"min_update_patients": 11}, "11 patients behind updates (min_update_patients)"),
    ("brain_tumor_fedavg", {"min_count": 25}, "at least 29 patients"),
    ("brain_tumor_fedavg", {"filters": ("some.package.Filter",)}, "some.package.Filter"),
    ("brain_tumor_fedavg", {"scope": "narrow"}, "privacy scope “narrow”"),
    ("brain_tumor_fedavg", {"name": "south"}, "Minimums of south"),
    ("brain_tumor_fedavg", {"streams_logs": True}, "Not the log files"),
    ("brain_tumor_fedavg", {"withdraws": True}, "list of withdrawals"),
    ("brain_tumor_fedavg", {"demand": PrivacyDemand(min_sites=4)}, "at least 4 hospitals a round"),
    ("brain_tumor_fedavg", {"budget": SPENT}, "has spent most: 2.5, in 40 payments of 3 jobs. "),
    ("brain_tumor_fedavg", {"budget": UNBOUNDED}, "2 jobs without noise trained on its patients"),
    ("brain_tumor_fedavg", {"hospital_noise": NOISE}, "hides the hospital, not by patient"),
    ("brain_tumor_fedavg_secagg", {"aggregation": SUMS}, "of 4 or more by north's own threshold"),
    ("brain_tumor_evaluate", {"max_evaluated_models": 0}, "the hospital allows no evaluation"),
    ("brain_tumor_evaluate", {"has_subgroups": True}, "Means and intervals of subgroups"),
    ("brain_tumor_check", {"demand": PrivacyDemand(stated=False)}, 'its minimum behind scores"'),
    ("brain_tumor_evaluate", {"min_count": 25}, "at least 25 patients in a bin"),
    ("brain_tumor_stats", {"min_count": 25}, "at least 25 patients"),
    ("brain_tumor_fedavg", {"missing_targets": ("et",)}, "labels lack et; loss and scores are of the others"),
    ("brain_tumor_check", {"missing_targets": ("et",)}, "That the hospital's labels lack et"),
    ("brain_tumor_stats", {"missing_targets": ("et",)}, "histograms of et"),
    ("brain_tumor_check", {"missing_inputs": ("t1", "t2")}, "acquires no t1 and no t2"),
    (
        "brain_tumor_evaluate",
        {"missing_inputs": ("t1",)},
        "in its reason to decline a job whose model needs that",
    ),
    ("brain_tumor_check", {"min_count": 25}, "at least 25 patients"),
]
"""A job, what a hospital decides differently, and what its page says then and not before."""

OF_A_LOCAL_MODEL = {"local_only", "has_own_model"}
"""Tested below."""


def statement(job, site=HOSPITAL, **changes):
    return state_privacy(facts_of_recipe(build_recipe(job, changes)), site, version="0")


def keys(page):
    return {flow.key for flow in page.flows}


@pytest.mark.quick_cases(9)
@pytest.mark.parametrize(("job", "decided", "expected"), MATTERS, ids=lambda one: str(one)[:50])
def test_each_decision_of_a_hospital_changes_its_page(job, decided, expected):
    assert expected not in statement(job).model_dump_json()
    assert expected in statement(job, replace(HOSPITAL, **decided)).model_dump_json()


def test_every_decision_of_a_hospital_is_tried():
    tried = {name for _, decided, _ in MATTERS for name in decided}
    assert {one.name for one in fields(SiteFacts)} == tried | OF_A_LOCAL_MODEL


def test_a_hospital_that_only_evaluates_sends_no_update_loss_or_number_of_training_cases():
    page = statement("brain_tumor_fedavg", replace(HOSPITAL, role="evaluates"))
    assert not keys(page) & {"update", "loss", "train_cases"}
    assert {"validation_scores", "test_scores", "model"} <= keys(page)
    assert [one.why for one in page.not_sent] == ["this hospital only evaluates (role)"]


@pytest.mark.parametrize("job", ["brain_tumor_fedavg_secagg", "brain_tumor_evaluate"])
def test_a_job_that_needs_all_targets_takes_nothing_from_a_hospital_whose_labels_lack_one(job):
    page = statement(job, replace(HOSPITAL, missing_targets=("et",)))
    assert keys(page) == {"progress", "machine"}
    (held,) = page.not_sent
    assert held.what == "anything about a patient: the hospital declines this job"
    assert held.why.startswith("its labels lack et (missing_targets), and ")


@pytest.mark.parametrize(
    ("decided", "why"),
    [
        ({"local_only": False}, "the hospital allows no such model (local_only)"),
        ({"role": "evaluates"}, "this hospital only evaluates (role)"),
    ],
)
def test_a_gain_leaves_only_where_the_hospital_trains_a_model_alone(decided, why):
    job = {"local_only": True}
    assert "gain" in keys(statement("brain_tumor_fedavg", **job))
    page = statement("brain_tumor_fedavg", replace(HOSPITAL, **decided), **job)
    assert "gain" not in keys(page)
    assert why in [one.why for one in page.not_sent]


def test_an_own_model_is_compared_only_where_the_hospital_names_one():
    job = {"local_only": True}
    assert "gain" not in keys(statement("brain_tumor_evaluate", **job))
    own = replace(HOSPITAL, has_own_model=True)
    assert "gain" in keys(statement("brain_tumor_evaluate", own, **job))
    assert "gain" not in keys(statement("brain_tumor_evaluate", own))


def test_the_larger_of_the_job_s_and_the_hospital_s_minimum_counts():
    for asked, decided in ((30, 7), (7, 30)):
        page = statement("brain_tumor_stats", replace(HOSPITAL, min_count=decided), min_count=asked)
        histograms = next(flow for flow in page.flows if flow.key == "histograms")
        assert histograms.minimum.startswith("at least 30 patients")


def test_scores_with_counts_have_the_minimum_of_counts():
    facts = facts_of_recipe(build_recipe("brain_tumor_fedavg"))
    counting = state_privacy(replace(facts, has_counts=True), HOSPITAL, version="0")
    assert "counts" in keys(counting)
    minimums = {flow.key: flow.minimum for flow in counting.flows}
    assert minimums["validation_scores"].startswith("at least 5 patients")
    plain = {flow.key: flow.minimum for flow in statement("brain_tumor_fedavg").flows}
    assert plain["validation_scores"].startswith("at least 3 patients")


@pytest.mark.parametrize("job", ["brain_tumor_fedavg", "brain_tumor_fedavg_gpu"])
def test_a_job_without_noise_and_masks_says_so_plainly(job):
    page = statement(job)
    assert page.section("epsilon").sentences[0].startswith("No differential privacy")
    assert page.section("aggregation").sentences == ("None: the server sees each hospital's update.",)


@pytest.mark.parametrize(
    ("demand", "why"),
    [
        (PrivacyDemand(level=PrivacyLevel.FORMAL), "it demands formal protection of patients"),
        (PrivacyDemand(min_sites=5), "it demands 5 sites a round, and this job needs 2 only"),
        (PrivacyDemand(secure_aggregation=True), "it demands secure aggregation"),
    ],
)
def test_a_job_that_the_hospital_would_decline_is_named_with_the_reason(demand, why):
    said = statement("brain_tumor_fedavg", replace(HOSPITAL, demand=demand)).section("budget").sentences
    assert f"It would decline this job before any case is read: {why}" in " ".join(said)
    assert "would decline" not in " ".join(statement("brain_tumor_fedavg").section("budget").sentences)
    others = statement("brain_tumor_evaluate", replace(HOSPITAL, demand=demand)).section("budget").sentences
    assert "would decline" not in " ".join(others)


def test_what_is_left_of_the_budget_is_what_was_not_spent():
    demand = PrivacyDemand(level=PrivacyLevel.FORMAL, epsilon=8.0)
    page = statement("brain_tumor_fedavg", replace(HOSPITAL, demand=demand, budget=SPENT))
    assert "at most 5.5 is left" in " ".join(page.section("budget").sentences)
    assert (page.budget.allowed, page.budget.spent, page.budget.jobs) == (8.0, 2.5, 3)
    assert page.budget.head == "40 abc"
    assert statement("brain_tumor_fedavg", SiteFacts()).budget is None
    assert statement("brain_tumor_fedavg").budget.spent == 0.0


SEEN_BY = {
    "brain_tumor_fedavg": ("each hospital's, in the clear", "no: the combined model only"),
    "brain_tumor_fedavg_secagg": ("only the sum of several hospitals'", "no: the combined model only"),
    "brain_tumor_swarm": ("no: encrypted for the hospital whose turn it is", "each hospital's, by itself"),
    "brain_tumor_cyclic": ("each hospital's, in the clear", "each hospital's, by itself"),
}


@pytest.mark.parametrize(("job", "seen"), SEEN_BY.items())
def test_who_sees_a_single_update_is_said_of_the_server_and_of_the_other_hospitals(job, seen):
    said = statement(job)
    update = next(flow for flow in said.flows if flow.key == "update")
    assert seen[0] in update.server
    assert seen[1] in update.hospitals
    trusted = next(section for section in said.sections if section.key == "trust").sentences
    others = any("other hospitals of the job are trusted with each single update" in one for one in trusted)
    assert others == (seen[1] == "each hospital's, by itself")


def test_the_encrypted_update_is_not_said_to_be_seen_by_nobody():
    """Its row is one more than the update's: what is encrypted for a hospital is seen by that one."""
    flows = {flow.key: flow for flow in statement("brain_tumor_swarm").flows}
    assert "by itself" in flows["set_sealed"].hospitals
    assert flows["set_combined"].users == "the model that it makes"
