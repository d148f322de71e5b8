"""What a hospital reports in a job whose algorithm sums cases, losses and scores."""

import pytest
from learning.tiny import LEARNING, site
from nvflare.apis.fl_constant import ReturnCode

from consilium.federation.message_names import PREPARE, TRAIN, VALIDATE
from consilium.federation.site.executor import SiteExecutor

from .answers import answer_of, at_site, execute


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
