"""Noise and masks change what the page says of each thing that leaves."""

from dataclasses import replace

import pytest

from consilium.privacy.hospital_noise import HospitalNoise
from consilium.privacy.promise import PrivacyPromise
from consilium.recipes.catalog import build_recipe
from consilium.recipes.privacy_facts import facts_of_recipe
from consilium.report.privacy.build import state_privacy
from consilium.report.privacy.facts import SiteFacts
from consilium.report.privacy.protection import state_protection
from consilium.report.training.page import render_page
from consilium.report.training.summary import summarize_study
from report.study import federation

PLAIN = facts_of_recipe(build_recipe("brain_tumor_fedavg"))


def page(**protected):
    facts = replace(PLAIN, of_kind=replace(PLAIN.of_kind, **protected))
    return state_privacy(facts, SiteFacts(name="north", streams_logs=False), version="0")


def flow(statement, key):
    return next(one for one in statement.flows if one.key == key)


def test_noise_is_stated_with_its_epsilon_and_what_that_means():
    said = page(promise=PrivacyPromise(epsilon=3.0, delta=1e-5))
    assert "noise (epsilon 3 for the whole job)" in flow(said, "update").protection
    assert "noise (epsilon 3 for the whole job)" in flow(said, "model").protection
    text = " ".join(said.section("epsilon").sentences)
    assert "Epsilon is at most 3 for the whole job" in text
    assert "at an epsilon of 10, the limit of its level" in text
    assert "delta is 1e-05, or a tenth of one divided by the training patients" in text
    assert "at most by a factor of 20," in text
    assert "No differential privacy" not in text
    assert "1 patient on average in each of 16 steps" in flow(said, "update").about
    assert "cryptographic generator" in " ".join(said.section("side_channels").sentences)
    assert "no noise" in flow(page(), "update").protection


def test_without_a_delta_the_hospital_s_number_of_patients_decides():
    text = " ".join(page(promise=PrivacyPromise(epsilon=3.0)).section("epsilon").sentences)
    assert "delta is a tenth of one divided by the hospital's number of training patients" in text


@pytest.mark.parametrize(("epsilon", "factor"), [(12.0, "162,755"), (1000.0, "more than a billion")])
def test_a_large_epsilon_is_never_shown_as_protection_of_membership(epsilon, factor):
    text = " ".join(page(promise=PrivacyPromise(epsilon=epsilon)).section("epsilon").sentences)
    assert factor in text
    assert "too large to hide whether a patient was in the data" in text
    assert "formal" not in text


def test_masked_updates_are_seen_by_nobody_and_the_page_says_what_that_does_not_add():
    said = page(promise=PrivacyPromise(secure_aggregation=True), sent=("sums",))
    for key in ("update", "set_sums"):
        assert flow(said, key).server.startswith("masked")
        assert flow(said, key).users == "no"
    text = " ".join(said.section("aggregation").sentences)
    assert "It adds nothing against what the sum, the model or the scores reveal" in text
    assert "the update" not in said.section("trust").sentences[0]
    assert "the update" in page().section("trust").sentences[0]


def hidden(**settings):
    noise = HospitalNoise(clip=0.5, noise_multiplier=4.0, **settings)
    site = SiteFacts(name="north", streams_logs=False, hospital_noise=noise)
    job = facts_of_recipe(build_recipe("brain_tumor_fedavg", {"local_only": True}))
    return state_privacy(job, site, version="0")


def test_noise_that_hides_the_hospital_is_never_shown_as_protection_of_patients():
    said = hidden(epsilon=30.0)
    assert "noise that hides the hospital, not by patient (4 times" in flow(said, "update").protection
    assert not {"loss", "validation_scores", "gain"} & {one.key for one in said.flows}
    assert "test_scores" in {one.key for one in said.flows}
    assert (said.protection.epsilon, said.protection.level) == (None, "none")
    budget = " ".join(said.section("budget").sentences)
    assert "The unit of the following noise is the hospital, not a patient" in budget
    assert "Budget of the hospital for all jobs together: epsilon 30, at delta 0.0001." in budget
    assert said.section("epsilon").sentences[0].startswith("No differential privacy by patient")


def test_what_an_algorithm_withholds_is_listed_as_not_sent():
    said = page(withholds_losses=True, withholds_scores=True)
    assert not {"loss", "validation_scores"} & {one.key for one in said.flows}
    assert {"losses of training", "scores of each round's model"} == {one.what for one in said.not_sent}
    assert "test_scores" in {one.key for one in said.flows}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, ""),
        ({"algorithm": {"name": "fedavg"}}, "Updates had no noise, and the server saw each hospital's."),
        ({"algorithm": {"name": "tomorrow"}}, "How updates were protected isn't known"),
        ({"algorithm": {"name": ["x"]}}, "How updates were protected isn't known"),
        ({"algorithm": 3}, ""),
    ],
)
def test_a_report_says_in_a_sentence_how_updates_were_protected(settings, said):
    assert state_protection(settings).startswith(said)


def test_the_report_of_a_training_has_that_sentence():
    report = summarize_study(federation(2), baselines=None, seconds={})
    plain = report.model_copy(update={"settings": {**report.settings, "algorithm": {"name": "fedavg"}}})
    options = {"curves": b"", "dark_curves": b"", "patients": {}}
    assert "the server saw each hospital" in render_page(plain, **options)
    assert "the server saw each hospital" not in render_page(report, **options)


def test_the_numbers_of_the_protection_are_there_for_programs():
    said = page(promise=PrivacyPromise(epsilon=3.0, secure_aggregation=True)).protection
    assert (said.epsilon, said.delta, said.level, said.secure_aggregation) == (3.0, None, "formal", True)
    plain = page().protection
    assert (plain.epsilon, plain.level, plain.secure_aggregation) == (None, "none", False)
