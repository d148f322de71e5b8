"""An evaluation's server side: models are checked before anybody is asked, and nobody is skipped silently."""

import copy
import json

import numpy as np
import pytest
from nvflare.apis.controller_spec import ClientTask
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import make_reply
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from prediction.conftest import LEARNING, bright_weights, one_layer, write_model  # noqa: F401
from records.test_evaluation_bounds import answer as content

from consilium.errors import RefusalCode
from consilium.federation.inquiry.model_evaluation import ModelEvaluation
from consilium.federation.message_names import CODE_HEADER, EVALUATE, LOCAL_ONLY, REASON_HEADER, REPORT_META
from consilium.learning.model_store import digest_of
from consilium.records.evaluation import EVALUATION_FILE, EvaluationRecord
from consilium.records.outcome import determine_outcome
from federation.flare import Engine


class Rehearsal(ModelEvaluation):
    """The controller with its sites in one process; how an answer is taken in is FLARE's own code."""

    def broadcast(self, task, fl_ctx, targets=None, min_responses=1, wait_time_after_min_received=0):
        self.tasks.append((task.name, dict(task.data)))
        self.asked.append(list(targets))
        clients = {client.name: client for client in self.engine.get_clients()}
        for name in targets:
            client_task = ClientTask(clients[name], task)
            client_task.result = self.sites[name](len(self.asked) - 1)
            if client_task.result is not None:
                self._process_result(client_task, fl_ctx)

    def get_num_standing_tasks(self):
        return 0


@pytest.fixture
def tasks():
    """The tasks that were sent, with what was in them."""
    return []


@pytest.fixture
def run(tmp_path, tasks):
    def run(sites, names=("first", "second"), abort=None, spoil=lambda folder: None, **settings):
        engine = Engine(tmp_path, clients=list(sites))
        folder = engine.local / "models"
        folder.mkdir(exist_ok=True)
        models = []
        for number, name in enumerate(names):
            file = write_model(tmp_path / f"{name}.safetensors", round=str(number), job="a training")
            digest = digest_of(file.read_bytes())
            file.rename(folder / f"{digest.removeprefix('sha256:')}.safetensors")
            models.append({"name": name, "digest": digest})
        spoil(folder)
        controller = Rehearsal(models, LEARNING.model_dump(mode="json"), **settings)
        controller.sites, controller.asked, controller.tasks = sites, [], tasks
        controller.start_controller(engine.context)
        controller.control_flow(abort or Signal(), engine.context)
        return EvaluationRecord.load(engine.run_folder / EVALUATION_FILE), controller.asked

    return run


def to_shareable(said, index, **more):
    return FLModelUtils.to_shareable(
        FLModel(**{"metrics": {}, "current_round": index, **more}, meta={REPORT_META: said})
    )


def good(index):
    return to_shareable(content(), index)


def refusing(code):
    headers = {REASON_HEADER: "it can't", CODE_HEADER: code.value}
    return lambda index: make_reply(ReturnCode.EXECUTION_EXCEPTION, headers)


def test_every_site_answers_about_every_model(run):
    record, asked = run({"north": good, "south": good})
    assert record.status == "finished"
    assert {name: sorted(one.sites) for name, one in record.models.items()} == {
        "first": ["north", "south"],
        "second": ["north", "south"],
    }
    assert [(one.job, one.round) for one in record.models.values()] == [("a training", 0), ("a training", 1)]
    assert asked == [["north", "south"]] * 2
    assert determine_outcome(record).kind == "success"


def with_gain(by=0.0):
    """Answers about its own model, and about others with a gain over it."""

    def site(index):
        said = content()
        if index:
            said["gains"] = {"dice": {"mean": by, "low": by - 0.01, "high": by + 0.01}}
        return to_shareable(said, index)

    return site


def test_each_site_is_asked_about_its_own_model_first_and_sent_no_weights(run, tasks):
    record, asked = run({"north": with_gain(), "clinic": good}, local_only=True)
    assert [name for name, _ in tasks] == [LOCAL_ONLY, EVALUATE, EVALUATE]
    assert "params" not in tasks[0][1]
    assert list(record.models) == ["local_only", "first", "second"]
    assert record.models["local_only"].digest is None
    assert asked == [["north", "clinic"]] * 3
    assert record.models["first"].sites["north"].gains["dice"].mean == 0
    assert determine_outcome(record).kind == "success"


def test_a_hospital_without_a_model_of_its_own_evaluates_the_others(run):
    def without(index):
        return refusing(RefusalCode.LOCAL_MODEL)(index) if index == 0 else good(index)

    record, asked = run({"north": with_gain(), "clinic": without}, local_only=True)
    assert record.models["local_only"].missing["clinic"].code is RefusalCode.LOCAL_MODEL
    assert asked[1] == ["north", "clinic"]
    assert determine_outcome(record).kind == "success"
    nobody, _ = run({"clinic": without}, local_only=True)
    assert nobody.status == "finished"


def test_a_gain_that_can_t_be_so_costs_the_answer(run):
    record, _ = run({"north": good, "liar": with_gain(0.3)}, local_only=True)
    assert [name for name, one in record.models.items() if "liar" in one.sites] == ["local_only"]


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("first", [lambda index: None, lambda index: to_shareable(content(), 7)])
def test_without_an_answer_about_its_own_model_a_site_loses_its_gains_alone(run, first):
    def late(index):
        return with_gain(0.3)(index) if index else first(index)

    record, _ = run({"north": with_gain(), "late": late}, local_only=True)
    assert "late" in record.models["local_only"].missing
    assert record.models["first"].sites["late"].gains == {}
    assert record.models["first"].sites["north"].gains


def test_a_gain_over_a_model_that_was_not_asked_for_is_rejected(run):
    record, _ = run({"north": good, "liar": lambda index: with_gain()(1)})
    assert record.models["first"].missing["liar"].code in (RefusalCode.ANSWER, RefusalCode.SCORES)


def test_a_site_that_fails_or_is_late_is_named_with_each_model(run):
    record, asked = run(
        {
            "north": good,
            "few": refusing(RefusalCode.FEW_PATIENTS),
            "broken": refusing(RefusalCode.FAILED),
            "late": lambda index: None,
        }
    )
    for model in record.models.values():
        assert {site: one.code for site, one in model.missing.items()} == {
            "few": RefusalCode.FEW_PATIENTS,
            "broken": RefusalCode.FAILED,
            "late": RefusalCode.LATE,
        }
    assert asked[1] == ["north", "broken", "late"]  # what lasts is not asked again
    outcome = determine_outcome(record)
    assert outcome.kind == "partial"
    assert "few did not evaluate first, second: it can't" in " ".join(map(str, outcome.reasons))


def test_without_any_answer_the_job_failed(run):
    record, _ = run({"north": lambda index: None, "south": lambda index: None})
    assert (record.status, record.code) == ("failed", RefusalCode.NO_SCORES)
    assert determine_outcome(record).kind == "failure"


def lying(**changes):
    said = copy.deepcopy(content())
    said["whole"]["measures"]["dice"].update(changes)
    return lambda index: to_shareable(said, index)


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize(
    "site",
    [
        lambda index: to_shareable({**content(), "patient": "Doe-Jane"}, index),
        lambda index: to_shareable(content(), index + 1),
        lambda index: to_shareable(content(), index, metrics={"dice": 1.0}),
        lambda index: to_shareable(content(), index, params={"w": np.ones(2)}, params_type=ParamsType.DIFF),
        lambda index: to_shareable(["Doe-Jane"], index),
        lying(mean=0.99),
        lying(counts=[9, *[0] * 99]),
    ],
)
def test_an_answer_that_can_t_be_so_costs_its_own_site_alone(run, site):
    record, _ = run({"north": good, "liar": site})
    for model in record.models.values():
        assert list(model.sites) == ["north"]
        assert model.missing["liar"].code in (RefusalCode.ANSWER, RefusalCode.SCORES)
    assert "Doe-Jane" not in record.model_dump_json()


def remove(folder):
    next(folder.iterdir()).unlink()


def overwrite(folder):
    next(folder.iterdir()).write_bytes(b"something else")


@pytest.mark.parametrize("spoil", [remove, overwrite])
def test_nobody_is_asked_when_a_model_is_not_as_the_job_says(run, spoil):
    record, asked = run({"north": good}, spoil=spoil)
    assert asked == []
    assert (record.status, record.code) == ("failed", RefusalCode.MODEL_FILE)
    assert determine_outcome(record).kind == "failure"


def test_a_model_of_another_task_asks_nobody(tmp_path):
    engine = Engine(tmp_path, clients=["north"])
    (engine.local / "models").mkdir()
    wrong = LEARNING.model_copy(update={"network": "segresnet"})
    file = write_model(tmp_path / "x.safetensors", learning=wrong, weights=bright_weights())
    digest = digest_of(file.read_bytes())
    file.rename(engine.local / "models" / f"{digest.removeprefix('sha256:')}.safetensors")
    controller = Rehearsal([{"name": "x", "digest": digest}], LEARNING.model_dump(mode="json"))
    controller.sites, controller.asked = {"north": good}, []
    controller.start_controller(engine.context)
    controller.control_flow(Signal(), engine.context)
    assert controller.asked == []
    assert json.loads((engine.run_folder / EVALUATION_FILE).read_text())["code"] == "model_file"


def test_a_job_without_a_model_says_how_to_write_one(run):
    record, _ = run({"north": good}, names=())
    assert "--model" in record.reason


def test_an_aborted_evaluation_keeps_what_it_has(run):
    abort = Signal()
    abort.trigger(True)
    record, _ = run({"north": good}, abort=abort)
    assert (record.status, record.code) == ("failed", RefusalCode.JOB_ABORTED)
