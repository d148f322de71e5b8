"""The tasks of a job at a site: what is answered, and what else is done."""

import numpy as np
import pytest
from data.hospital import Hospital
from learning.tiny import LEARNING, site
from nvflare.apis.dxo import from_shareable
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from tasks.packages import installed, is_imported, toy

from consilium.errors import ConfigurationError
from consilium.federation.message_names import (
    CHECK,
    CODE_HEADER,
    PREPARE,
    REASON_HEADER,
    REFUSAL_HEADER,
    SITE_STATE_EVENT,
    TEST,
    TRAIN,
    VALIDATE,
)
from consilium.federation.site import start_participant
from consilium.federation.site.executor import SiteExecutor
from consilium.federation.versions import component_versions
from consilium.participant.task_data import TaskData
from consilium.records.site_status import read_site_status

from .answers import WEIGHTS, answer_of, at_site, execute, request


def test_an_unknown_task_is_answered_as_such(executor, engine):
    reply = execute(executor, engine, "exfiltrate")
    assert reply.get_return_code() == ReturnCode.TASK_UNKNOWN


def test_preparing_answers_what_the_site_has_and_touches_no_model(executor, engine, tmp_path):
    settings = site(tmp_path, ["P1", "P2", "P3"])
    Hospital(settings.dataset).brats("P4", without=("t1",))
    at_site(engine, settings)
    asked = FLModelUtils.to_shareable(FLModel(metrics={}, current_round=0, total_rounds=2))
    model, report = answer_of(execute(executor, engine, PREPARE, asked))
    assert not model.params
    assert (report.role, report.train_cases, report.validation_cases) == ("trains", 2, 1)
    assert report.left_out == {"missing_image": 1}
    assert report.versions == component_versions()
    states = [data for event, data in engine.events if event == SITE_STATE_EVENT]
    assert from_shareable(states[-1]).data["state"] == "ready"


def test_the_site_keeps_what_the_server_rejected_for_its_people(executor, engine, tmp_path, caplog):
    at_site(engine, site(tmp_path, ["P1", "P2", "P3"]))
    executor.handle_event(EventType.START_RUN, engine.context)
    asked = request()
    asked.set_header(REFUSAL_HEADER, "its update is rejected: it changes nothing")
    execute(executor, engine, VALIDATE, asked)
    (status,) = read_site_status(engine.workspace.get_root_dir())
    assert [(one.by, one.reason) for one in status.refusals] == [
        ("server", "its update is rejected: it changes nothing")
    ]
    assert "rejected the last answer: its update is rejected: it changes nothing" in caplog.text


@pytest.mark.parametrize("task", [PREPARE, TRAIN, VALIDATE])
def test_a_server_of_another_series_is_rejected_with_both_versions(executor, engine, tmp_path, task):
    at_site(engine, site(tmp_path, ["P1"]))
    reply = execute(executor, engine, task, request(consilium="99.1.0"))
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    reason = reply.get_header(REASON_HEADER)
    assert reason.startswith(f"versions do not fit: consilium {component_versions()['consilium']} here")
    assert "99.1.0 there" in reason


def test_training_answers_a_difference_scores_and_a_report(executor, engine, tmp_path):
    settings = site(tmp_path, ["P1", "P2", "P3"])
    Hospital(settings.dataset).brats("P4", without=("t1",))
    at_site(engine, settings)
    model, report = answer_of(execute(executor, engine, TRAIN, request(current_round=1)))
    assert model.params_type == ParamsType.DIFF
    assert model.current_round == 1
    assert model.params.keys() == WEIGHTS.keys()
    assert 0 < max(np.abs(value).max() for value in model.params.values()) < 0.1
    assert set(model.metrics) == {"dice", "dice_tc", "dice_wt", "dice_et", "validation_cases", "test_cases"}
    assert model.metrics["validation_cases"] == report.validation_cases == 1
    assert (report.role, report.train_cases, report.steps) == ("trains", 2, LEARNING.local_steps)
    assert report.left_out == {"missing_image": 1}
    assert report.loss is not None
    assert {"python", "consilium", "nvflare", "monai", "torch"} == set(report.versions)


def test_a_site_that_only_evaluates_answers_scores_and_no_difference(executor, engine, tmp_path):
    at_site(engine, site(tmp_path, role="evaluates"))
    model, report = answer_of(execute(executor, engine, TRAIN))
    assert (model.params, "dice" in model.metrics) == (None, False)  # it tests, and chooses no model
    model, report = answer_of(execute(executor, engine, TEST))
    assert not model.params
    assert model.metrics["test_cases"] == 3
    assert 0 <= model.metrics["dice"] <= 1
    assert (report.role, report.steps, report.loss) == ("evaluates", 0, None)


def test_the_final_evaluation_has_distances_and_trains_nothing(executor, engine, tmp_path):
    at_site(engine, site(tmp_path, validation_fraction=0.0, test_fraction=0.4))
    model, report = answer_of(execute(executor, engine, TEST))
    assert not model.params
    assert {"hd95", "hd95_tc", "hd95_wt", "hd95_et", "dice"} <= set(model.metrics)
    assert report.steps == 0
    assert report.train_cases == 2


def test_data_is_prepared_once_a_job(executor, engine, tmp_path, monkeypatch):
    calls = []
    prepare = start_participant.prepare_site
    monkeypatch.setattr(
        start_participant,
        "prepare_site",
        lambda *args, **options: calls.append(1) or prepare(*args, **options),
    )
    at_site(engine, site(tmp_path, ["P1"]))
    for task in (TRAIN, VALIDATE, VALIDATE):
        answer_of(execute(executor, engine, task))
    assert calls == [1]


def test_an_aborted_job_is_answered_as_aborted(executor, engine, tmp_path):
    at_site(engine, site(tmp_path))
    abort = Signal()
    abort.trigger(True)
    reply = execute(executor, engine, TRAIN, abort=abort)
    assert reply.get_return_code() == ReturnCode.TASK_ABORTED


def test_aborting_in_the_midst_of_training_stops_within_a_step(engine, tmp_path):
    executor = SiteExecutor(LEARNING.model_copy(update={"local_steps": 10_000}).model_dump(mode="json"))
    at_site(engine, site(tmp_path))
    abort, states = Signal(), []

    def abort_when_training(event, data):
        if event == SITE_STATE_EVENT:
            states.append(from_shareable(data).data)
            if states[-1]["state"] == "training":
                abort.trigger(True)

    engine.on_event = abort_when_training
    reply = execute(executor, engine, TRAIN, abort=abort)
    assert reply.get_return_code() == ReturnCode.TASK_ABORTED
    assert states[-1]["state"] == "training"
    assert (states[-1]["done"], states[-1]["total"]) == (1, 10_000)
    assert [state["state"] for state in states].index("validating") < len(states) - 1


def test_the_server_hears_what_a_site_is_doing(executor, engine, tmp_path):
    at_site(engine, site(tmp_path))
    execute(executor, engine, TRAIN)
    states = [
        from_shareable(data).data["state"] for event, data in engine.events if event == SITE_STATE_EVENT
    ]
    assert list(dict.fromkeys(states)) == [
        "preparing: reading labels",
        "preparing: preparing cases",
        "validating",
        "training",
        "sent",
    ]


def test_wrong_learning_settings_are_rejected_before_anything_starts():
    with pytest.raises(ConfigurationError, match="did you mean 'local_steps'"):
        SiteExecutor({"local_step": 5})


def test_a_task_that_the_hospital_has_not_listed_is_declined_before_it_is_imported(engine, tmp_path):
    settings = site(tmp_path, ["P1", "P2", "P3"])
    at_site(engine, settings)
    with installed(tmp_path, toy()):
        executor = SiteExecutor({**LEARNING.model_dump(mode="json"), "task": "toy_tumor"})
        for task in (CHECK, PREPARE, TRAIN, VALIDATE):
            reply = execute(executor, engine, task)
            assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
            assert reply.get_header(CODE_HEADER) == "task"
            assert "policy does not list it" in reply.get_header(REASON_HEADER)
        assert not is_imported()
        at_site(engine, settings.model_copy(update={"tasks": {"toy_tumor": TaskData()}}))
        _, report = answer_of(execute(executor, engine, PREPARE))
        assert report.train_cases == 2
        assert is_imported()
