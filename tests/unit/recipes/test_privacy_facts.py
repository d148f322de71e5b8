"""What the officer's page says follows from the job's settings: each that matters changes it."""

from unittest.mock import patch

import pytest
from report.statistics.records import record as statistics
from report.study import federation
from toy_algorithm import ToySettings, toy_algorithm

from consilium.errors import ConfigurationError
from consilium.learning.algorithms import ALGORITHMS
from consilium.recipes.catalog import build_recipe
from consilium.recipes.evaluation import EvaluationSettings
from consilium.recipes.privacy_facts import facts_of_recipe, facts_of_record
from consilium.recipes.readiness import ReadinessSettings
from consilium.recipes.recognition import RECIPES
from consilium.recipes.statistics import StatisticsSettings
from consilium.recipes.training import TrainingRecipe, TrainingSettings
from consilium.records.federation import FederationRecord
from consilium.report.privacy.build import state_privacy
from consilium.report.privacy.facts import SiteFacts
from consilium.tasks.learning_settings import LearningSettings

MODEL = {"name": "ours", "digest": "sha256:" + "0" * 64}
INITIAL = {"digest": "sha256:" + "0" * 64, "origin": [{"name": "published", "digest": "sha256:" + "1" * 64}]}

TRAINING, EVALUATION = "brain_tumor_fedavg", "brain_tumor_evaluate"
WITH_NOISE = "brain_tumor_dp_sgd"
STATISTICS, READINESS = "brain_tumor_stats", "brain_tumor_check"

MATTERS = [
    (TRAINING, {"rounds": 7}, "7 rounds"),
    ("brain_tumor_fedprox", {"algorithm.mu": 0.75}, "name fedprox, mu 0.75"),
    (WITH_NOISE, {"algorithm.epsilon": 3.0}, "Epsilon is at most 3 for the whole job"),
    (WITH_NOISE, {"algorithm.delta": 1e-6}, "delta is 1e-06, or"),
    (
        WITH_NOISE,
        {"algorithm.level": "reconstruction"},
        "and how many cases and patients, of each round's model",
    ),
    (TRAINING, {"min_sites": 1}, "A round counts with a single hospital"),
    (TRAINING, {"min_sites": 2}, "A round counts with two hospitals"),
    (TRAINING, {"min_sites": 5}, "A round counts with 5 hospitals"),
    (TRAINING, {"admission.min_ready": 3}, "found 3 hospitals ready"),
    (TRAINING, {"aggregation.rule": "median"}, "median of each weight"),
    (TRAINING, {"local_only": True}, "a model that the hospital trains alone"),
    (TRAINING, {"resume": "64e0768a-6d0c-4a5d-8a64-0f2b3a7f9c11"}, "resumes an interrupted job"),
    (TRAINING, {"learning.local_steps": 40, "learning.batch_size": 8}, "320 samples, in 40 steps of 8"),
    (TRAINING, {"learning.local_steps": None, "learning.local_epochs": 2.0}, "2 passes over all training"),
    (TRAINING, {"learning.round_minutes": 2.5}, "or what 2.5 min allow"),
    (EVALUATION, {"min_patients": 30}, "at least 30 patients"),
    (EVALUATION, {"local_only": True}, "the hospital's own model"),
    (STATISTICS, {"min_count": 17}, "at least 17 patients"),
]
"""A job, a change of its settings, and what its page says then and not before."""

CHANGES_NOTHING_THAT_LEAVES = {
    TrainingSettings: {
        "task_request_seconds",
        "quorum",
        "screening",
        "rollback_margin",
        "selection",
        "deadline_hours",
        "gpus_per_site",
    },
    EvaluationSettings: {"min_sites", "task_request_seconds", "timeout_minutes", "learning"},
    StatisticsSettings: {"min_sites", "task_request_seconds", "max_bins_percent", "wait_minutes", "task"},
    ReadinessSettings: {"min_sites", "task_request_seconds", "timeout_minutes", "learning"},
    LearningSettings: {"network", "learning_rate", "weight_decay", "warmup", "seed"},
}
"""Settings that a page doesn't depend on. Some withhold more than a page says, such as `max_bins_percent`."""

NAMED_OTHERWISE = {"name", "algorithm", "learning", "initial", "models", "task"}
"""Settings with a test of their own below."""


def text_of(recipe, site=None):
    statement = state_privacy(facts_of_recipe(recipe), site or SiteFacts(), version="0")
    return statement.model_dump_json()


@pytest.mark.parametrize(("job", "changes", "expected"), MATTERS, ids=lambda one: str(one)[:60])
def test_each_setting_that_matters_changes_the_page(job, changes, expected):
    other = build_recipe(job, {"min_sites": 3} if "min_sites" in changes else {})
    assert expected not in text_of(other)
    assert expected in text_of(build_recipe(job, changes))


@pytest.mark.parametrize("settings", CHANGES_NOTHING_THAT_LEAVES, ids=lambda one: one.__name__)
def test_every_setting_is_on_the_page_or_known_to_change_nothing_that_leaves(settings):
    """A new setting of a job fails here until somebody has decided which it is."""
    changed = {name for _, changes, _ in MATTERS for name in changes}
    on_the_page = {name.partition(".")[0] for name in changed} | NAMED_OTHERWISE
    on_the_page |= {name.removeprefix("learning.") for name in changed}
    assert settings.model_fields.keys() - on_the_page <= CHANGES_NOTHING_THAT_LEAVES[settings]


def test_the_page_of_a_cyclic_job_says_who_sees_an_update_by_itself():
    page = text_of(build_recipe("brain_tumor_cyclic"))
    assert "each of them has that update by subtraction" in page
    assert "each hospital's, by itself: the hospital allows it (updates_to_hospitals)" in page
    assert "one after the other, a round each" in page
    assert "(min_sites)" not in page


@pytest.mark.long
def test_the_noise_for_a_number_of_patients_is_that_of_the_algorithm():
    recipe = build_recipe(WITH_NOISE)
    plan = facts_of_recipe(recipe, patients=100).of_kind.plan
    settings = recipe.settings
    own = settings.algorithm.privacy_plan(settings.learning, settings.rounds, 100)
    assert plan.noise_multiplier == own.each_round[0].noise_multiplier
    assert plan.steps == settings.rounds * settings.learning.local_steps
    assert plan.delta == own.delta
    assert facts_of_recipe(build_recipe(TRAINING), patients=100).of_kind.plan is None
    assert "losses of training" in text_of(recipe)
    assert "losses of training" not in text_of(build_recipe(TRAINING))


def test_a_job_that_starts_from_a_trained_model_says_so():
    started = build_recipe(TRAINING, {"initial": INITIAL})
    assert "starts from a trained model" in text_of(started)
    assert "starts from a trained model" not in text_of(build_recipe(TRAINING))


def test_the_models_of_an_evaluation_are_counted():
    assert "measures 1 model " in text_of(build_recipe(EVALUATION, {"models": [MODEL]}))
    assert "measures the same models " in text_of(build_recipe(EVALUATION))


class ToyJobSettings(TrainingSettings):
    algorithm: ToySettings = ToySettings()


class ToyRecipe(TrainingRecipe):
    settings_type = ToyJobSettings


@pytest.fixture
def toy():
    with toy_algorithm(), patch.dict(RECIPES, toy=ToyRecipe):
        yield ToyRecipe.from_values({"name": "toy", "learning": {"task": "brain_tumor"}}, source="a test")


def test_all_that_an_algorithm_declares_is_on_the_page(toy):
    statement = state_privacy(facts_of_recipe(toy), SiteFacts(), version="0")
    keys = {flow.key for flow in statement.flows}
    assert {"set_control_change", "number_drift", "question_greet"} <= keys
    drift = next(flow for flow in statement.flows if flow.key == "number_drift")
    assert "from 0 to 1e+06" in drift.what
    assert "without those that stay at each site" in statement.flows[0].what
    assert "The weights that the job's algorithm keeps at each site." in statement.stays
    plain = state_privacy(facts_of_recipe(build_recipe(TRAINING)), SiteFacts(), version="0")
    assert keys - {flow.key for flow in plain.flows} == {
        "set_control_change",
        "number_drift",
        "question_greet",
    }


def test_every_algorithm_has_a_recipe_that_reads_its_record_back():
    assert ALGORITHMS.keys() == {
        one.algorithm() for one in RECIPES.values() if issubclass(one, TrainingRecipe)
    }


def recorded(recipe, **changes):
    settings = recipe.settings.model_dump(mode="json", exclude={"name", "resume", "gpus_per_site"})
    values = federation(1).model_dump(mode="json")
    return FederationRecord.model_validate({**values, "settings": settings} | changes)


def test_a_record_and_the_settings_of_its_job_give_the_same_page():
    recipe = build_recipe(TRAINING, {"rounds": 9, "local_only": True, "learning.local_steps": 5})
    before, after = facts_of_recipe(recipe), facts_of_record(recorded(recipe))
    assert after.of_kind == before.of_kind
    assert (after.source, after.name) == ("record", "simulate_job")


def test_a_record_with_an_unknown_algorithm_or_setting_is_named():
    recipe = build_recipe(TRAINING)
    with pytest.raises(ConfigurationError, match="names the algorithm 'other'; known: fedavg"):
        facts_of_record(recorded(recipe, settings={"algorithm": {"name": "other"}}))
    settings = recorded(recipe).settings | {"surprise": 1}
    with pytest.raises(ConfigurationError, match="surprise"):
        facts_of_record(recorded(recipe, settings=settings))


def test_the_record_of_a_statistics_job_has_its_minimum():
    record = statistics({"north": 12})
    record.settings = {"min_count": 9}
    assert facts_of_record(record).of_kind.min_count == 9
