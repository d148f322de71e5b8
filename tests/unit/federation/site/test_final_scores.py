"""Test patients at a site: looked at once in a job, after its last round, whatever the server asks."""

import numpy as np
import pytest
from learning.tiny import LEARNING, site
from nvflare.apis.event_type import EventType
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.federation.message_names import CODE_HEADER, TEST, TRAIN, VALIDATE
from consilium.federation.site.executor import SiteExecutor
from consilium.learning.network_state import initial_weights
from consilium.participant.evaluation_log import EvaluationLog
from consilium.participant.site_data import prepare_site
from consilium.tasks import get_task

from .answers import answer_of, at_site, execute

SEVEN = [f"P{number}" for number in range(7)]
SHARES = {"validation_fraction": 0.3, "test_fraction": 0.3}


@pytest.fixture
def hospital(engine, tmp_path):
    settings = site(tmp_path, SEVEN, **SHARES)
    at_site(engine, settings)
    executor = SiteExecutor(LEARNING.model_dump(mode="json"))
    executor.handle_event(EventType.START_RUN, engine.context)
    return settings, lambda task, model=0: execute(executor, engine, task, asked(model))


def asked(number):
    """A task with one of several models."""
    weights = initial_weights(get_task("brain_tumor"), LEARNING, 0)
    name = next(iter(weights))
    changed = {**weights, name: weights[name] + np.float32(number * 1e-3)}
    model = FLModel(params_type=ParamsType.FULL, params=changed, current_round=0, total_rounds=3)
    return FLModelUtils.to_shareable(model)


def test_a_round_is_scored_on_validation_and_the_end_on_test_patients(hospital):
    settings, ask = hospital
    data = prepare_site(settings, LEARNING)
    assert data.validation
    assert data.test
    model, report = answer_of(ask(TRAIN))
    assert "dice" in model.metrics
    assert "hd95" not in model.metrics
    model, report = answer_of(ask(VALIDATE))
    assert "hd95" not in model.metrics
    model, report = answer_of(ask(TEST))
    assert "hd95" in model.metrics
    assert (report.validation_cases, report.test_cases) == (len(data.validation), len(data.test))
    assert report.test_patients == len({case.patient for case in data.test})


def test_a_site_states_how_many_models_its_test_patients_were_used_for_before(hospital):
    settings, ask = hospital
    for number in range(3):
        EvaluationLog(settings, "another job").admit_received({"x": np.full(1, number)}, "test")
    for index in (1, 2):
        _, report = answer_of(ask(TEST, index))
        assert report.earlier_models == 3


def test_a_server_can_not_have_every_round_s_model_tested(hospital):
    _, ask = hospital
    answer_of(ask(TRAIN, 1))
    answer_of(ask(TEST, 1))
    assert ask(TRAIN, 2).get_header(CODE_HEADER) == "already_tested"
    answer_of(ask(TEST, 2))
    answer_of(ask(TEST, 1))  # a repeated question
    refused = ask(TEST, 3)
    assert refused.get_header(CODE_HEADER) == "already_tested"
    assert not {"DXO", "metrics"} & refused.keys()
    answer_of(ask(VALIDATE, 3))  # other patients


def test_a_restarted_process_remembers_what_was_tested(hospital, engine):
    _, ask = hospital
    answer_of(ask(TEST, 1))
    again = SiteExecutor(LEARNING.model_dump(mode="json"))
    again.handle_event(EventType.START_RUN, engine.context)
    assert execute(again, engine, TRAIN, asked(2)).get_header(CODE_HEADER) == "already_tested"


@pytest.mark.long
def test_a_site_without_test_patients_answers_without_scores(engine, tmp_path):
    at_site(engine, site(tmp_path, SEVEN, validation_fraction=0.3))
    executor = SiteExecutor(LEARNING.model_dump(mode="json"))
    for number in range(3):
        model, report = answer_of(execute(executor, engine, TEST, asked(number)))
        assert report.test_cases == 0
        assert "dice" not in (model.metrics or {})
    answer_of(execute(executor, engine, TRAIN, asked(0)))
