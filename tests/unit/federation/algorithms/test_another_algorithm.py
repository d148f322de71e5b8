"""An algorithm that the package doesn't know, through the controller."""

import numpy as np
import pytest
from nvflare.apis.fl_constant import ReturnCode, SystemConfigs
from nvflare.apis.job_def import JobMetaKey, new_job_id
from nvflare.apis.shareable import make_reply
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.abstract.model import make_model_learnable
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from nvflare.fuel.utils.config_service import ConfigService
from toy_algorithm import CHANGE, CONTROL, GREET, toy_algorithm

from consilium.errors import ConfigurationError
from consilium.federation.message_names import (
    ANSWER_META,
    PREPARE,
    QUESTION_META,
    REASON_HEADER,
    REPORT_META,
    RESUME_META,
    TEST,
    TRAIN,
    VALIDATE,
)
from consilium.federation.rounds.checkpoints import CHECKPOINTS
from consilium.learning.algorithms import parse_algorithm
from consilium.learning.model_file import load_model
from federation.rehearsal import Site, TwoWeights, panics, rehearse, saved
from federation.rounds.interruption import Killed

ROUNDS = 3


@pytest.fixture(autouse=True)
def algorithm():
    with toy_algorithm() as settings:
        yield settings


@pytest.fixture(autouse=True)
def place(monkeypatch):
    values = {CHECKPOINTS: {"folder": "kept", "keep": 2}}
    monkeypatch.setitem(ConfigService._sections, SystemConfigs.RESOURCES_CONF, values)
    monkeypatch.setattr(ConfigService, "_var_values", {})


class WithBias(TwoWeights):
    """Its model has one weight more, which stays at the sites."""

    def load_model(self, fl_ctx):
        weights = {"w": np.zeros(2), "mark": np.zeros(1), "bias": np.full(1, 7.0)}
        return make_model_learnable(weights=weights, meta_props={"round": 0})


class ToySite(Site):
    """Answers greetings, and sends a control variate beside its update."""

    def __init__(self, lie=lambda answer: None, greet=lambda index: True, dead=None, **options):
        super().__init__(**options)
        self.lie, self.greet, self.dead, self.controls = lie, greet, dead, []

    def __call__(self, task, model):
        if (task, model.current_round) == self.dead:
            raise Killed
        if task == GREET:
            self.seen.append((task, None))
            if not self.greet(model.current_round):
                return make_reply(ReturnCode.EXECUTION_EXCEPTION, {REASON_HEADER: "it is busy"})
            number = 2 * model.meta[QUESTION_META]["number"]
            answer = FLModel(
                metrics={}, current_round=model.current_round, meta={ANSWER_META: {"number": number}}
            )
        else:
            self.report = {"numbers": {"drift": 1.0}} if task == TRAIN and self.step is not None else {}
            answer = FLModelUtils.from_shareable(super().__call__(task, model))
            if task == TRAIN:
                self.controls.append(float(model.params[f"{CONTROL}/w"][0]))
        self.lie(answer)
        return FLModelUtils.to_shareable(answer)

    def update(self):
        return {**super().update(), f"{CHANGE}/w": np.full(2, 0.25), f"{CHANGE}/mark": np.zeros(1)}


@pytest.fixture
def run(tmp_path, algorithm):
    def run(sites, *, job_id=None, resume=None, **settings):
        meta = {JobMetaKey.SUBMITTER_NAME.value: "lead", **({RESUME_META: resume} if resume else {})}
        options = {"rounds": ROUNDS, "persistor": WithBias, "algorithm": algorithm, **settings}
        return rehearse(tmp_path, sites, job_id=job_id or new_job_id(), meta=meta, **options)

    return run


def weights(engine):
    return load_model(engine.run_folder / "model.safetensors")[0]


def test_two_questions_a_second_weight_set_and_momentum(run):
    north, south = ToySite(), ToySite(step=3.0)
    record, engine = run({"north": north, "south": south})
    assert record.status == "finished", record.reason
    asked = [task for task, _ in north.seen]
    assert asked == [PREPARE, *[GREET, TRAIN] * ROUNDS, VALIDATE, TEST]
    assert north.controls == [0.0, 0.25, 0.5]
    velocity, w = 0.0, 0.0
    for _ in range(ROUNDS):
        velocity = 0.5 * velocity + 2.0  # the mean of 1 and 3
        w += velocity
    assert saved(engine) == (pytest.approx(w), ROUNDS)
    assert weights(engine)["bias"] == 7.0
    assert [one.questions[GREET]["north"].outcome for one in record.rounds] == ["answered"] * ROUNDS
    assert record.rounds[0].sites["north"].update_norm == pytest.approx(np.sqrt(2))  # of the difference alone
    assert record.rounds[0].sites["north"].report.numbers == {"drift": 1.0}
    assert record.settings["algorithm"] == {"name": "toy", "mu": 0.1, "momentum": 0.5}


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("task", [GREET, TRAIN])
def test_a_job_resumed_after_a_crash_ends_as_if_nothing_had_been_between(run, task):
    _, undisturbed = run({"north": ToySite(), "south": ToySite(step=3.0)})
    first = new_job_id()
    with pytest.raises(Killed):
        run({"north": ToySite(), "south": ToySite(step=3.0, dead=(task, 2))}, job_id=first)
    north = ToySite()
    record, engine = run({"north": north, "south": ToySite(step=3.0)}, resume=first)
    assert record.resumed[0].after_round == 2
    assert north.controls == [0.5]
    np.testing.assert_array_equal(weights(engine)["w"], weights(undisturbed)["w"])


def test_a_job_with_another_momentum_resumes_nothing(run):
    first = new_job_id()
    with pytest.raises(Killed):
        run({"north": ToySite(), "south": ToySite(dead=(TRAIN, 2))}, job_id=first)
    sites = {"north": ToySite(), "south": ToySite()}
    record, engine = run(sites, resume=first, algorithm={"name": "toy", "momentum": 0.0})
    assert record.status == "failed"
    assert "has another algorithm, or other settings of it" in record.reason
    assert panics(engine) == [record.reason]


def test_a_round_that_is_rolled_back_takes_its_momentum_with_it(run):
    dice = lambda w: 0.0 if w > 4 else 0.9  # noqa: E731
    record, engine = run(
        {"north": ToySite(step=2.0, dice=dice), "south": ToySite(step=2.0, dice=dice)}, rollback_margin=0.1
    )
    # 0 -> 2 (velocity 2) -> 5 (velocity 3): worse, so round 3 starts from 2 with velocity 2, to 5 again.
    assert [bool(one.rolled_back) for one in record.rounds] == [False, True, True]
    assert engine.components["training"]._plan.algorithm.velocity["w"] == pytest.approx(2.0)


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (lambda answer: answer.params.pop(f"{CHANGE}/w"), "missing weights: 1, unknown ones: 0"),
        (lambda answer: answer.params.update({"other/w": np.ones(2)}), "that this job doesn't have"),
        (lambda answer: answer.params.update({f"{CONTROL}/w": np.ones(2)}), "that this job doesn't have"),
        (lambda answer: answer.params.update({"model/w": np.ones(2)}), "that this job doesn't have"),
        (lambda answer: answer.params.update({"bias": np.ones(1)}), "unknown ones: 1"),
        (lambda answer: answer.params.update({f"{CHANGE}/w": np.full(2, np.nan)}), "not finite"),
        (lambda answer: answer.meta[REPORT_META].update(numbers={}), "other numbers"),
        (lambda answer: answer.meta[REPORT_META].update(numbers={"drift": -1.0}), "between 0 and 1e+06"),
        (lambda answer: answer.meta[REPORT_META].update(numbers={"drift": 1.0, "x": 1.0}), "other numbers"),
    ],
)
def test_what_the_algorithm_does_not_declare_is_rejected(run, lie, reason):
    evil = ToySite(lie=lambda answer: lie(answer) if answer.params else None)
    record, _ = run({"evil": evil, "north": ToySite(), "south": ToySite()})
    assert record.status == "finished"
    assert record.rounds[0].sites["evil"].outcome == "refused"
    assert reason in record.rounds[0].sites["evil"].reason


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    "content", [None, {}, {"number": 10**6}, {"number": 1, "more": 1}, [1], {"number": "1"}]
)
def test_a_wrong_answer_to_a_question_costs_its_own_site(run, content):
    def lie(answer):
        if ANSWER_META in answer.meta:
            answer.meta[ANSWER_META] = content

    record, _ = run({"evil": ToySite(lie=lie), "north": ToySite(), "south": ToySite()})
    assert record.status == "finished"
    first = record.rounds[0]
    assert first.questions[GREET]["evil"].outcome == first.sites["evil"].outcome == "refused"
    assert first.sites["evil"].report is None, "it was not asked to train"


def test_a_site_that_declines_a_question_is_not_asked_to_train(run):
    busy = ToySite(greet=lambda index: index != 1)
    record, _ = run({"busy": busy, "north": ToySite(), "south": ToySite()})
    assert record.status == "finished"
    assert [one.sites["busy"].outcome for one in record.rounds] == ["trained", "refused", "trained"]
    assert record.rounds[1].sites["busy"].reason == "it is busy"


def test_a_question_without_a_quorum_makes_no_round(run):
    record, _ = run({"busy": ToySite(greet=lambda index: False), "north": ToySite()})
    assert record.status == "failed"
    assert record.reason == "round 1 has 1 answer to greet, and min_sites is 2; busy: it is busy"


def test_an_unknown_algorithm_or_setting_is_named():
    with pytest.raises(ConfigurationError, match=r"known: cyclic, .*, toy"):
        parse_algorithm({"name": "exfiltrate"})
    with pytest.raises(ConfigurationError, match="did you mean 'mu'"):
        parse_algorithm({"name": "toy", "mo": 1})
