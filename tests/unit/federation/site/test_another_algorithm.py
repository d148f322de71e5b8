"""An algorithm that the package doesn't know, through the executor."""

from typing import ClassVar

import numpy as np
import pytest
from learning.tiny import LEARNING, site
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from toy_algorithm import CHANGE, CONTROL, GREET, ToyDialogue, toy_algorithm

from consilium.federation.message_names import (
    ANSWER_META,
    QUESTION_META,
    REASON_HEADER,
    REPORT_META,
    RUN_META,
    TRAIN,
    VERSIONS_META,
)
from consilium.federation.site.executor import SiteExecutor
from consilium.federation.versions import component_versions
from consilium.learning.algorithms.dialogue import LocalAnswer
from consilium.learning.weights import MODEL
from consilium.records.federation import SiteReport
from consilium.tasks import get_task

from .answers import WEIGHTS, at_site

SHARED = [name for name in WEIGHTS if not name.endswith("bias")]
NO_CONTROL = {f"{CONTROL}/{name}": np.zeros_like(WEIGHTS[name]) for name in SHARED}


def ask(executor, engine, task, params, index=0, content=None):
    meta = {VERSIONS_META: component_versions(), RUN_META: None, QUESTION_META: content or {}}
    model = FLModel(
        params_type=ParamsType.FULL if params else None,
        params=params,
        metrics=None if params else {},
        current_round=index,
        total_rounds=2,
        meta=meta,
    )
    return executor.execute(task, FLModelUtils.to_shareable(model), engine.context, Signal())


@pytest.fixture
def executor(engine, tmp_path):
    at_site(engine, site(tmp_path))
    with toy_algorithm() as algorithm:
        yield SiteExecutor(LEARNING.model_dump(mode="json"), algorithm)


def test_the_executor_answers_both_questions_and_keeps_what_stays(executor, engine):
    greeted = FLModelUtils.from_shareable(ask(executor, engine, GREET, None, content={"number": 4}))
    assert greeted.meta[ANSWER_META] == {"number": 8}
    answer = FLModelUtils.from_shareable(ask(executor, engine, TRAIN, {**WEIGHTS, **NO_CONTROL}))
    assert answer.params.keys() == {*SHARED, *(f"{CHANGE}/{name}" for name in SHARED)}
    assert SiteReport.model_validate(answer.meta[REPORT_META]).numbers["drift"] > 0
    participant = executor._handlers._part._participant
    own = participant.personalize(WEIGHTS, 1)
    kept = [name for name in WEIGHTS if name.endswith("bias")]
    assert kept
    assert any(not np.array_equal(own[name], WEIGHTS[name]) for name in kept)
    assert all(own[name] is WEIGHTS[name] for name in SHARED)
    assert participant.personalize(WEIGHTS, 0) is WEIGHTS  # a round that is repeated starts as it did


def test_a_task_with_another_set_is_declined(executor, engine):
    reply = ask(executor, engine, TRAIN, {**WEIGHTS, "other/w": np.zeros(1)})
    assert "doesn't have" in reply.get_header(REASON_HEADER)


class Masking(ToyDialogue):
    """Adds the number in the server's task to the difference, and twice that to the control variate."""

    def seal(self, sets, content, origin):
        mask = content.get("mask", 0.0)
        masked = {name: value + mask for name, value in sets[MODEL].items()}
        return {MODEL: masked, CHANGE: {name: value + 2 * mask for name, value in sets[CHANGE].items()}}


@pytest.fixture
def masking(engine, tmp_path):
    """An executor whose updates are sealed."""
    at_site(engine, site(tmp_path))
    with toy_algorithm(Masking) as algorithm:
        yield SiteExecutor(LEARNING.model_dump(mode="json"), algorithm)


def test_an_update_leaves_sealed_by_what_the_server_s_task_says(masking, engine):
    def sent(content):
        """The sets of a round that is repeated; the training is the same each time."""
        answer = ask(masking, engine, TRAIN, {**WEIGHTS, **NO_CONTROL}, content=content)
        return FLModelUtils.from_shareable(answer).params

    plain, masked = sent({}), sent({"mask": 3.0})
    assert plain.keys() == masked.keys() == {*SHARED, *(f"{CHANGE}/{name}" for name in SHARED)}
    for name in SHARED:
        np.testing.assert_allclose(masked[name], plain[name] + 3.0, atol=1e-5)
        np.testing.assert_allclose(masked[f"{CHANGE}/{name}"], plain[f"{CHANGE}/{name}"] + 6.0, atol=1e-5)


def test_what_seals_an_update_gets_values_by_name_whatever_the_server_sends(masking, engine):
    answer = ask(masking, engine, TRAIN, {**WEIGHTS, **NO_CONTROL}, content=["mask"])
    assert answer.get_return_code() == ReturnCode.OK, answer.get_header(REASON_HEADER)


class Talkative(ToyDialogue):
    """Answers and sends more than its settings declare."""

    extra: ClassVar = {"patient": "Doe"}

    def answer(self, question, content, sets):
        return LocalAnswer({"number": 1, **self.extra}, content.get("sets", {}))

    def seal(self, sets, content, origin):
        return {**sets, "secret": sets[MODEL]}


@pytest.mark.parametrize(
    ("extra", "content"),
    [
        ({"patient": "Doe"}, {}),
        ({"number": "Doe"}, {}),
        ({"number": 10**9}, {}),
        ({}, {"sets": {"secret": {"w": 1.0}}}),
        ({}, {"sets": {CHANGE: {"bias": 1.0}}}),
    ],
)
def test_an_answer_with_more_than_is_declared_stays_here(engine, tmp_path, monkeypatch, extra, content):
    monkeypatch.setattr(Talkative, "extra", extra)
    at_site(engine, site(tmp_path))
    with toy_algorithm(Talkative) as algorithm:
        executor = SiteExecutor(LEARNING.model_dump(mode="json"), algorithm)
        reply = ask(executor, engine, GREET, None, content=content)
        assert reply.get_return_code() != ReturnCode.OK
        assert "Doe" not in str(dict(reply))


def test_a_set_that_is_added_by_sealing_stays_here(engine, tmp_path):
    at_site(engine, site(tmp_path))
    with toy_algorithm(Talkative) as algorithm:
        executor = SiteExecutor(LEARNING.model_dump(mode="json"), algorithm)
        reply = ask(executor, engine, TRAIN, {**WEIGHTS, **NO_CONTROL})
        assert reply.get_return_code() != ReturnCode.OK
        assert "secret" not in str(dict(reply))


def test_a_score_that_the_task_does_not_declare_stays_here(executor, engine, monkeypatch):
    evaluation = type(get_task(LEARNING.task).evaluation)
    summarize = evaluation.summarize
    monkeypatch.setattr(evaluation, "summarize", lambda self, rows: {**summarize(self, rows), "age": 47.0})
    reply = ask(executor, engine, TRAIN, {**WEIGHTS, **NO_CONTROL})
    assert reply.get_return_code() != ReturnCode.OK
    assert "age" not in str(dict(reply))
