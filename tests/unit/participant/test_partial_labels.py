"""A hospital whose labels lack a region: what it trains, scores and declines."""

import numpy as np
import pytest
from data.hospital import Hospital
from learning.tiny import LEARNING, site

from consilium.errors import ConfigurationError, RefusalCode, SiteRefusal
from consilium.federation.site.assessment import assess
from consilium.learning.algorithms import ALGORITHMS, parse_algorithm
from consilium.learning.network_state import initial_weights
from consilium.learning.schedule import Schedule
from consilium.participant.case_admission import missing_targets_refusal
from consilium.participant.evaluation_data import prepare_evaluation
from consilium.participant.participant import Participant
from consilium.participant.site_cases import examine_cases
from consilium.participant.site_data import prepare_site
from consilium.participant.site_settings import SiteSettings
from consilium.participant.standalone_plan import StandalonePlan
from consilium.participant.statistics import gather_statistics
from consilium.tasks import get_task

TASK = get_task("brain_tumor")
WEIGHTS = initial_weights(TASK, LEARNING, 0)
FIRST, *_, HEAD = WEIGHTS
"""The kernels of the first layer, four channels each, and the bias of the last: a number for each region."""


@pytest.fixture
def without_et(tmp_path):
    """A hospital whose labels merge the enhancing tumor into its core."""
    settings = site(tmp_path, [], missing_targets=("et",), label_convention="brats-2018", test_fraction=0.2)
    for name in ("P1", "P2", "P3", "P4", "P5"):
        Hospital(settings.dataset).brats(name, (0, 1, 2))
    return settings


@pytest.fixture
def participant(without_et):
    made = Participant(prepare_site(without_et, LEARNING), LEARNING, without_et)
    yield made
    made.close()


def test_its_update_leaves_what_finds_the_missing_region(participant):
    trained = participant.train(WEIGHTS, Schedule(0, 4)).weights
    assert WEIGHTS[HEAD].shape == (3,)
    change = np.abs(trained[HEAD] - WEIGHTS[HEAD])
    assert change[2] <= 1e-5  # weight decay alone
    assert (change[:2] > 1e-4).all()


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize(
    "name", [one for one, parts in ALGORITHMS.items() if parts.local.keeps_moments and one != "dp_sgd"]
)
def test_no_algorithm_moves_what_belongs_to_a_missing_region_or_modality(tmp_path, name):
    """In the second round a site has moments, a control variate and whatever else it keeps."""
    settings = site(
        tmp_path,
        [],
        missing_inputs=("t1",),
        missing_targets=("et",),
        label_convention="brats-2018",
        test_fraction=0.2,
    )
    for patient in ("P1", "P2", "P3", "P4"):
        Hospital(settings.dataset).brats(patient, (0, 1, 2), without=("t1",))
    learning = LEARNING.model_copy(update={"modality_dropout": 0.3})
    algorithm = parse_algorithm({"name": name})
    data = prepare_site(settings, learning)
    participant = Participant(data, learning, settings, algorithm=algorithm, memory=tmp_path / "memory")
    weights = WEIGHTS
    for number, of_others in enumerate((0.0, 0.1)):
        sets = {
            one: {key: np.full_like(value, of_others) for key, value in WEIGHTS.items()}
            for one in algorithm.declaration.received
        }
        trained = participant.train(weights, Schedule(number, 4), sets=sets).weights
        change = np.abs(trained[HEAD] - weights[HEAD])
        assert change[2] <= 1e-5  # weight decay alone
        assert (change[:2] > 1e-4).all()
        change = np.abs(trained[FIRST] - weights[FIRST])
        assert change[:, 0].max() <= 1e-5
        assert all(change[:, place].max() > 1e-4 for place in (1, 2, 3))
        weights = {key: trained[key].copy() for key in WEIGHTS}
    participant.close()


@pytest.mark.parametrize("final", [True, False])
def test_it_scores_the_regions_that_its_labels_have(participant, final):
    rows = participant.score(WEIGHTS, final=final)
    assert rows
    for row in rows:
        assert not any(name.endswith("_et") for name in row)
        assert row["dice"] == pytest.approx((row["dice_tc"] + row["dice_wt"]) / 2)


def test_its_readiness_names_the_missing_region(without_et):
    checked = examine_cases(without_et, TASK.cases)
    readiness = assess(checked, without_et, LEARNING, {})
    assert (readiness.can, readiness.missing_targets) == ("train", ["et"])


def test_nothing_is_counted_of_the_missing_region(without_et):
    statistics = gather_statistics(
        without_et, TASK, progress=lambda done, total, what: None, cancelled=lambda: False
    )
    assert statistics.count("volume_wt") == 5
    assert statistics.count("volume_et") == statistics.count("absence_et") == 0
    assert not any(statistics.histogram("volume_et"))


def test_an_evaluation_of_models_is_declined(without_et):
    with pytest.raises(SiteRefusal, match="lack et, and models are compared by all targets") as refused:
        prepare_evaluation(without_et, LEARNING, job_minimum=1)
    assert refused.value.code is RefusalCode.MISSING_TARGETS


def test_sums_of_all_sites_are_declined(without_et):
    assert missing_targets_refusal(without_et, LEARNING, parse_algorithm({"name": "fedavg"})) is None
    refusal = missing_targets_refusal(without_et, LEARNING, parse_algorithm({"name": "secagg_fedavg"}))
    assert refusal.code is RefusalCode.MISSING_TARGETS
    assert "lack et, and the sums" in refusal.public_reason


def test_such_a_hospital_is_in_no_pooled_model(without_et):
    sites = {"north": prepare_site(without_et, LEARNING)}
    with pytest.raises(ConfigurationError, match="the labels of north lack targets"):
        StandalonePlan.pooled(sites, LEARNING, 1)


def test_a_task_that_needs_all_targets_is_declined(without_et, monkeypatch):
    assert missing_targets_refusal(without_et, LEARNING) is None
    monkeypatch.setattr(type(LEARNING), "accepts_missing_targets", property(lambda self: False))
    refusal = missing_targets_refusal(without_et, LEARNING)
    assert refusal.code is RefusalCode.MISSING_TARGETS
    with pytest.raises(SiteRefusal, match="needs all targets"):
        prepare_site(without_et, LEARNING)


@pytest.mark.parametrize("place", ["here", "for the task"])
def test_an_unknown_name_is_an_error_with_those_that_are_known(tmp_path, place):
    own = {"missing_targets": ["enhancing"]}
    values = own if place == "here" else {"tasks": {"brain_tumor": own}}
    with pytest.raises(ConfigurationError, match="missing_targets: 'enhancing' unknown; allowed: tc, wt, et"):
        SiteSettings.parse({"dataset": str(tmp_path), **values}, source="local/privacy.json")
