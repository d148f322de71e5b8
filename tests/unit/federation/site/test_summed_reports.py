"""What a hospital reports in a job whose algorithm sums cases, losses and scores."""

import pytest
from learning.tiny import LEARNING, site
from nvflare.apis.dxo import from_shareable
from nvflare.apis.fl_constant import ReturnCode

from consilium.federation.message_names import (
    LOCAL_ONLY,
    PREPARE,
    REASON_HEADER,
    SITE_STATE_EVENT,
    TRAIN,
    VALIDATE,
)
from consilium.federation.site.executor import SiteExecutor
from consilium.learning.algorithms.secagg_plan import ADVERTISE

from .answers import answer_of, at_site, execute, request


@pytest.fixture
def executor(engine, tmp_path):
    at_site(engine, site(tmp_path))
    return SiteExecutor(LEARNING.model_dump(mode="json"), {"name": "secagg_fedavg"})


def test_preparation_reports_no_number_of_cases(executor, engine):
    answer, report = answer_of(execute(executor, engine, PREPARE))
    hidden = (report.train_cases, report.validation_cases, report.validation_patients, report.loss)
    assert hidden == (None, None, None, None)
    assert "validation_cases" not in answer.metrics


@pytest.mark.parametrize("task", [TRAIN, VALIDATE])
def test_without_a_sum_nothing_of_a_training_or_validation_leaves(executor, engine, task):
    reply = execute(executor, engine, task)
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert "params" not in reply


def announced_counts(engine):
    """States with their counts, as the server gets them."""
    data = [from_shareable(one).data for event, one in engine.events if event == SITE_STATE_EVENT]
    return {(one["state"], one["done"], one["total"]) for one in data}


EPOCHS = {"local_steps": None, "local_epochs": 1.0}


@pytest.mark.parametrize("learning", [{}, EPOCHS], ids=["steps", "epochs"])
def test_progress_shows_no_number_of_cases_either(engine, tmp_path, learning):
    at_site(engine, site(tmp_path, min_count=1))
    chosen = LEARNING.model_copy(update=learning)
    executor = SiteExecutor(chosen.model_dump(mode="json"), {"name": "secagg_fedavg"})
    execute(executor, engine, TRAIN)
    counts = announced_counts(engine)
    states = {state.partition(":")[0] for state, _, _ in counts}
    assert {"preparing", "validating", "training"} <= states
    shown = {state for state, done, total in counts if done or total}
    assert shown == (set() if learning else {"training"})


def test_a_model_trained_alone_shows_no_steps_that_follow_from_the_cases(engine, tmp_path):
    at_site(engine, site(tmp_path, min_count=1, test_fraction=0.4))
    chosen = LEARNING.model_copy(update=EPOCHS)
    executor = SiteExecutor(chosen.model_dump(mode="json"), {"name": "secagg_fedavg"})
    _, report = answer_of(execute(executor, engine, LOCAL_ONLY))
    assert report.steps == 0
    alone = {total for state, _, total in announced_counts(engine) if state.startswith("training alone")}
    assert alone == {0}


def test_a_job_has_one_training(executor, engine):
    """What is drawn in a training and what it opened are remembered under one id, which the server names."""
    answer_of(execute(executor, engine, PREPARE, request(run="one")))
    reply = execute(executor, engine, ADVERTISE, request(run="another"))
    assert "another training" in reply.get_header(REASON_HEADER)
