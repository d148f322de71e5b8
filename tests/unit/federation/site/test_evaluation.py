"""What a site answers about a model: numbers over enough patients, and nothing else."""

import json

import numpy as np
import pytest
from learning.tiny import LEARNING
from nvflare.apis.fl_constant import ReturnCode
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.errors import RefusalCode
from consilium.federation.message_names import CODE_HEADER, EVALUATE, REASON_HEADER, REPORT_META
from consilium.federation.site.executor import SiteExecutor
from consilium.participant.evaluation_log import EvaluationLog
from consilium.records.evaluation import SiteEvaluation
from consilium.records.evaluation_bounds import check_evaluation
from consilium.tasks import get_task

from .answers import WEIGHTS, at_site, execute
from .compared_jobs import MINIMUM, PATIENTS, remove_validated

EVALUATION = get_task("brain_tumor").evaluation


def question(weights=None, index=0):
    params = dict(WEIGHTS if weights is None else weights)
    model = FLModel(params_type=ParamsType.FULL, params=params, current_round=index, total_rounds=2)
    return FLModelUtils.to_shareable(model)


@pytest.fixture
def ask(engine, hospital):
    """Ask a new process of the site's about a model."""

    def ask(weights=None, *, min_patients=1, executor=None, **settings):
        at_site(engine, hospital.model_copy(update=settings))
        executor = executor or SiteExecutor(LEARNING.model_dump(mode="json"), min_patients=min_patients)
        return execute(executor, engine, EVALUATE, question(weights))

    return ask


def read(reply):
    assert reply.get_return_code() == ReturnCode.OK, reply.get_header(REASON_HEADER)
    model = FLModelUtils.from_shareable(reply)
    assert not model.params
    assert not model.metrics
    return SiteEvaluation.model_validate(model.meta[REPORT_META])


def refusal(reply):
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    return RefusalCode(reply.get_header(CODE_HEADER)), reply.get_header(REASON_HEADER)


def test_an_answer_is_one_that_the_server_takes_and_names_nobody(ask):
    reply = ask()
    answer = read(reply)
    check_evaluation(answer, EVALUATION)
    assert answer.whole.patients == 6
    assert answer.min_count == MINIMUM
    assert set(answer.whole.measures) == {one.name for one in EVALUATION.measures}
    content = json.dumps(answer.model_dump(mode="json"))
    assert not [one for one in PATIENTS if one in content]
    for one in answer.whole.measures.values():
        assert all(count == 0 or count >= MINIMUM for count in one.counts)


def test_the_larger_minimum_counts(ask):
    assert read(ask(min_patients=5)).min_count == 5
    code, reason = refusal(ask(min_patients=7))
    assert code is RefusalCode.FEW_PATIENTS
    assert "6" not in reason


def test_two_answers_about_nearly_the_same_patients_are_not_given(ask, hospital):
    before = read(ask()).whole.patients
    remove_validated(hospital)
    reply = ask()
    after = read(reply).whole.patients if reply.get_return_code() == ReturnCode.OK else 0
    assert before - after in (0, *range(MINIMUM, 7))


def test_models_are_counted_over_jobs(ask):
    read(ask(max_evaluated_models=1))
    read(ask(max_evaluated_models=1))
    other = {name: value + np.float32(1e-6) for name, value in WEIGHTS.items()}
    code, _ = refusal(ask(other, max_evaluated_models=1))
    assert code is RefusalCode.MANY_MODELS


def test_an_answer_states_the_models_before_it(ask, hospital):
    for number in range(2):
        EvaluationLog(hospital, f"training {number}").admit_trained({"x": np.full(1, number, np.float32)})
    answer = read(ask(role="evaluates"))
    assert (answer.set, answer.earlier_models) == ("test", 2)
    answer = read(ask())
    assert (answer.set, answer.earlier_models) == ("validation", 0)


@pytest.mark.parametrize("fault", ["nan", "shape", "missing", "unknown", "none"])
def test_a_model_that_is_none_is_declined_without_a_patient_in_the_reason(ask, fault):
    name = next(iter(WEIGHTS))
    weights = {key: value.copy() for key, value in WEIGHTS.items()}
    if fault == "nan":
        weights[name].flat[0] = np.nan
    elif fault == "shape":
        weights[name] = weights[name][:1]
    elif fault == "missing":
        del weights[name]
    elif fault == "unknown":
        weights["patient"] = np.zeros(3, np.float32)
    else:
        weights = {"x": np.zeros(1, np.float32)}
    code, reason = refusal(ask(weights))
    assert code is RefusalCode.DECLINED
    assert not [one for one in PATIENTS if one in reason]


def test_patients_are_prepared_once(ask, hospital):
    executor = SiteExecutor(LEARNING.model_dump(mode="json"))
    first = read(ask(executor=executor))
    remove_validated(hospital)
    assert read(ask(executor=executor)).whole == first.whole
