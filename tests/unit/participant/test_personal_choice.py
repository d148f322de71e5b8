"""Which model of a finished job a site uses, where its algorithm leaves the choice."""

import numpy as np
import pytest
from learning.tiny import LEARNING, site

from consilium.learning.algorithms import parse_algorithm
from consilium.learning.network_state import initial_weights
from consilium.learning.schedule import Schedule
from consilium.participant.participant import Participant
from consilium.participant.site_data import prepare_site
from consilium.tasks import get_task

START = initial_weights(get_task("brain_tumor"), LEARNING, 0)
(LAST,) = (name for name in START if name == "model.2.conv.bias")


def marking(bias):
    """A model that marks every voxel, or with a bias below 0 none."""
    return {**START, LAST: np.full_like(START[LAST], bias)}


ALL, NONE = marking(50.0), marking(-50.0)


@pytest.fixture
def participant(tmp_path):
    """A site that has trained one round by Ditto."""
    settings = site(tmp_path)
    one = Participant(
        prepare_site(settings, LEARNING), LEARNING, settings, algorithm=parse_algorithm({"name": "ditto"})
    )
    one.train(START, Schedule(0, 1))
    return one


def choose(participant, received):
    return participant.choose(received, 1, 1)


def own(participant, weights, monkeypatch):
    monkeypatch.setattr(participant, "_own_weights", lambda rounds_done: weights)


def test_the_better_one_on_validation_patients_is_used(participant, monkeypatch):
    own(participant, ALL, monkeypatch)
    np.testing.assert_array_equal(choose(participant, NONE)[LAST], ALL[LAST])
    own(participant, NONE, monkeypatch)
    assert choose(participant, ALL) is ALL


@pytest.mark.long
def test_the_received_one_is_used_if_they_are_alike_or_no_patient_can_decide(participant, monkeypatch):
    own(participant, dict(ALL), monkeypatch)
    assert choose(participant, ALL) is ALL
    own(participant, ALL, monkeypatch)
    participant.data = participant.data.without([case.id for case in participant.data.validation])
    assert choose(participant, NONE) is NONE


def test_in_the_rounds_the_received_model_is_evaluated(participant):
    assert participant.personalize(ALL, 1) is ALL


def test_the_model_of_the_last_round_is_the_one_that_is_compared(participant):
    """Whichever of the job's models is tested."""
    trained = participant._own_weights(1)
    assert trained.keys() == START.keys()
    assert any(not np.array_equal(trained[name], START[name]) for name in START)
