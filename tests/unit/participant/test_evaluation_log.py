"""How often a job may look at a hospital's test patients."""

import numpy as np
import pytest

from consilium.errors import RefusalCode, SiteRefusal
from consilium.participant.evaluation_log import EvaluationLog


def model(value):
    return {"w": np.full(3, value, np.float32)}


def test_a_job_has_its_final_and_its_best_model_evaluated_and_no_other(site):
    for value in (1, 2, 1, 2):  # a repeated question is no further look
        assert EvaluationLog(site, "a job").admit(model(value)) == 0
    with pytest.raises(SiteRefusal, match="2 models of this job") as caught:
        EvaluationLog(site, "a job").admit(model(3))
    assert caught.value.code is RefusalCode.TESTED


def test_training_ends_with_the_first_look(site):
    EvaluationLog(site, "a job").require_none()
    EvaluationLog(site, "a job").admit(model(1))
    with pytest.raises(SiteRefusal, match="training after that"):
        EvaluationLog(site, "a job").require_none()
    EvaluationLog(site, "another job").require_none()


def test_the_jobs_before_are_counted(site):
    for number, job in enumerate(["first", "second", "third"]):
        assert EvaluationLog(site, job).admit(model(number)) == number
    assert EvaluationLog(site, "third").admit(model(9)) == 2


def test_the_same_model_in_a_resumed_job_is_no_further_look(site):
    EvaluationLog(site, "interrupted").admit(model(1))
    assert EvaluationLog(site, "resumed").admit(model(1)) == 0
    for value in (2, 3):
        EvaluationLog(site, "resumed").admit(model(value))
    with pytest.raises(SiteRefusal):
        EvaluationLog(site, "resumed").admit(model(4))


@pytest.mark.parametrize(
    "other",
    [
        {"w": np.full(3, 1, np.float64)},
        {"w": np.full((1, 3), 1, np.float32)},
        {"v": np.full(3, 1, np.float32)},
        {"w": np.full(3, 1, np.float32), "v": np.zeros(0, np.float32)},
    ],
)
def test_models_that_differ_in_anything_are_two(site, other):
    log = EvaluationLog(site, "a job")
    log.admit(model(1))
    log.admit(other)
    with pytest.raises(SiteRefusal):
        log.admit(model(2))
