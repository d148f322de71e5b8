import logging
import os
import sys

import numpy as np
import pytest
from data.hospital import NAMES_2023, Hospital
from learning.tiny import LEARNING, site
from nvflare.apis.dxo import from_shareable
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.job_def import new_job_id
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from tasks.packages import installed, is_imported, toy

from consilium.errors import ConfigurationError, DataError, SiteRefusal, TrainingError
from consilium.federation.message_names import (
    CHECK,
    CODE_HEADER,
    LEFT_OUT_HEADER,
    PREPARE,
    REASON_HEADER,
    REFUSAL_HEADER,
    REPORT_META,
    RUN_META,
    SITE_STATE_EVENT,
    TRAIN,
    VALIDATE,
    VERSIONS_META,
)
from consilium.federation.site import executor as executor_module
from consilium.federation.site import state
from consilium.federation.site.executor import SiteExecutor
from consilium.federation.versions import component_versions
from consilium.learning.network_state import initial_weights
from consilium.participant import site_data
from consilium.participant.site_settings import TaskData
from consilium.records.federation import SiteReport
from consilium.records.readiness import SiteReadiness
from consilium.records.site_status import read_site_status
from consilium.report.status.site import describe_site
from consilium.tasks import get_task
from federation.flare import Engine

WEIGHTS = initial_weights(get_task("brain_tumor"), LEARNING, 0)
PATIENT = "Doe-Jane-1931"


@pytest.fixture
def engine(tmp_path):
    return Engine(tmp_path / "workspace")


@pytest.fixture
def executor():
    return SiteExecutor(LEARNING.model_dump(mode="json"))


def at_site(engine, settings):
    properties = {"consilium": settings.model_dump(mode="json", exclude_defaults=True)}
    engine.context.set_prop(FLContextKey.SCOPE_PROPERTIES, properties, private=True, sticky=False)


def request(current_round=0, run=None, **versions):
    model = FLModel(
        params_type=ParamsType.FULL,
        params=dict(WEIGHTS),
        current_round=current_round,
        total_rounds=2,
        meta={VERSIONS_META: component_versions() | versions, RUN_META: run},
    )
    return FLModelUtils.to_shareable(model)


def execute(executor, engine, task, shareable=None, abort=None):
    return executor.execute(task, shareable or request(), engine.context, abort or Signal())


def answer_of(reply):
    assert reply.get_return_code() == ReturnCode.OK, reply.get_header(REASON_HEADER)
    model = FLModelUtils.from_shareable(reply)
    return model, SiteReport.model_validate(model.meta[REPORT_META])


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


def test_the_site_keeps_what_the_server_refused_for_its_people(executor, engine, tmp_path, caplog):
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


def check(executor, engine):
    asked = FLModelUtils.to_shareable(FLModel(metrics={}))
    reply = execute(executor, engine, CHECK, asked)
    assert reply.get_return_code() == ReturnCode.OK, reply.get_header(REASON_HEADER)
    return SiteReadiness.model_validate(FLModelUtils.from_shareable(reply).meta[REPORT_META])


def test_checking_answers_counts_and_prepares_nothing(executor, engine, tmp_path):
    settings = site(tmp_path, ["P1", "P2", "P3"])
    Hospital(settings.dataset).brats("P4", without=("t1",))
    at_site(engine, settings)
    readiness = check(executor, engine)
    assert (readiness.can, readiness.reason, readiness.usable_cases) == ("train", None, 3)
    assert readiness.left_out == {"missing_image": 1}
    assert readiness.label_convention == "brats-2018"
    assert readiness.grid is not None
    assert readiness.hardware.cores >= 1
    assert readiness.versions == component_versions()
    answer_of(execute(executor, engine, TRAIN))  # it did not keep anything that training would have to know


def test_checking_suppresses_counts_below_the_hospital_s_minimum(executor, engine, tmp_path):
    settings = site(tmp_path, ["P1", "P2", "P3"], min_count=5)
    Hospital(settings.dataset).brats("P4", without=("t1",))
    at_site(engine, settings)
    readiness = check(executor, engine)
    assert (readiness.can, readiness.usable_cases, readiness.grid) == ("train", None, None)
    assert readiness.left_out == {"missing_image": None}


def test_checking_counts_patients_and_not_their_examinations(executor, engine, tmp_path):
    settings = site(tmp_path, [], min_count=3, label_convention="brats-2018")
    hospital = Hospital(settings.dataset)
    for visit in range(4):
        hospital.brats(f"BraTS-GLI-00001-10{visit}", names=NAMES_2023)
        hospital.brats(f"BraTS-GLI-00002-10{visit}", names=NAMES_2023)
        hospital.brats(f"BraTS-GLI-00003-10{visit}", names=NAMES_2023, without=("t1",))
    at_site(engine, settings)
    readiness = check(executor, engine)
    assert (readiness.usable_cases, readiness.grid) == (None, None)
    assert readiness.left_out == {"missing_image": None}
    hospital.brats("BraTS-GLI-00004-100", names=NAMES_2023)
    readiness = check(executor, engine)
    assert (readiness.usable_cases, readiness.usable_patients) == (9, 3)
    assert readiness.left_out == {"missing_image": None}
    assert readiness.grid is not None


@pytest.mark.parametrize(
    ("patients", "settings", "can", "reason"),
    [
        (3, {}, "nothing", "its update would be of fewer than 3 patients"),
        (2, {"role": "evaluates"}, "nothing", "its scores would be of fewer than 3 patients"),
        (6, {}, "nothing", "too few patients a round"),  # 2 steps with one patch
        (3, {"role": "evaluates"}, "evaluate", "as the hospital decided"),
    ],
)
def test_checking_and_preparing_agree_on_few_patients(
    executor, engine, tmp_path, patients, settings, can, reason
):
    names = [f"P{number}" for number in range(patients)]
    at_site(engine, site(tmp_path, names, min_training_patients=3, **settings))
    readiness = check(executor, engine)
    assert readiness.can == can
    assert reason in readiness.reason
    prepared = execute(executor, engine, PREPARE)
    assert (prepared.get_return_code() == ReturnCode.OK) == (can != "nothing")
    if can == "nothing":
        assert prepared.get_header(REASON_HEADER) == readiness.reason


def test_a_training_site_with_few_validation_patients_keeps_its_scores(engine, tmp_path):
    executor = SiteExecutor(LEARNING.model_copy(update={"local_steps": 4}).model_dump(mode="json"))
    at_site(engine, site(tmp_path, ["P1", "P2", "P3", "P4", "P5"], min_training_patients=3))
    executor.handle_event(EventType.START_RUN, engine.context)
    model, report = answer_of(execute(executor, engine, TRAIN))
    assert model.params
    assert not model.metrics
    assert (report.train_cases, report.validation_cases) == (3, None)
    model, report = answer_of(execute(executor, engine, VALIDATE))
    assert (model.params, model.metrics, report.validation_cases) == (None, {}, None)
    sent = [from_shareable(data).data for event, data in engine.events if event == SITE_STATE_EVENT]
    assert not [one for one in sent if one["state"] == "validating"]
    (status,) = read_site_status(engine.workspace.get_root_dir())
    assert status.held_back == 2
    assert any("2 held back" in line for line in describe_site(status))


def test_no_message_of_a_round_holds_the_loss_of_few_patients(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(state, "_SHORTEST_PAUSE", 0.0)  # every step is told
    monkeypatch.setattr(state, "_SHARE", 0.0)
    executor = SiteExecutor(LEARNING.model_copy(update={"local_steps": 8}).model_dump(mode="json"))
    at_site(engine, site(tmp_path, ["P1", "P2", "P3", "P4", "P5"], min_training_patients=3))
    _, report = answer_of(execute(executor, engine, TRAIN))
    sent = [from_shareable(data).data for event, data in engine.events if event == SITE_STATE_EVENT]
    losses = [one["loss"] for one in sent if one["state"] == "training"]
    assert len(losses) == 8
    assert losses[:2] == [None, None]
    assert losses[2:] == [losses[2]] * 3 + [losses[5]] * 3  # three patients each, one a step
    assert report.loss == losses[-1]


def test_two_jobs_that_differ_by_a_step_share_no_patch(tmp_path, monkeypatch):
    """Were they drawn by the job's seed, the updates of the two would differ by one patient's patch."""
    monkeypatch.setattr(state, "_SHORTEST_PAUSE", 0.0)
    monkeypatch.setattr(state, "_SHARE", 0.0)
    settings = site(tmp_path, [f"P{number}" for number in range(12)], split_salt=None)
    jobs = [new_job_id() for _ in range(2)]

    def losses(job, steps):
        """The losses of a round's steps, each of one patch, with the same first weights and rates."""
        engine = Engine(tmp_path / f"{job}{steps}", job_id=job)
        at_site(engine, settings)
        learning = LEARNING.model_copy(update={"local_steps": steps, "learning_rate": 1e-7})
        executor = SiteExecutor(learning.model_dump(mode="json"))
        answer_of(execute(executor, engine, TRAIN, request(0, run=job)))
        sent = [from_shareable(data).data for event, data in engine.events if event == SITE_STATE_EVENT]
        return [one["loss"] for one in sent if one["state"] == "training"]

    first = losses(jobs[0], 3)
    assert losses(jobs[0], 3) == first  # a round that is repeated
    assert losses(jobs[0], 4)[0] != first[0]
    assert losses(jobs[1], 3)[0] != first[0]


def test_a_round_that_showed_few_patients_leaves_nothing_behind(tmp_path):
    engine = Engine(tmp_path / "workspace", job_id=(job := new_job_id()))
    learning = LEARNING.model_copy(update={"local_steps": 4})
    executor = SiteExecutor(learning.model_dump(mode="json"))
    settings = site(tmp_path, ["P1", "P2", "P3", "P4", "P5"], min_training_patients=3)
    at_site(engine, settings)
    answer_of(execute(executor, engine, PREPARE, request(0, run=job)))
    lost = site_data.prepare_site(settings, learning).train[0]
    (lost.folder / "image.npy").unlink()
    lost.origin.case.images["t1"].path.unlink()
    reply = execute(executor, engine, TRAIN, request(0, run=job))
    assert "showed the network fewer than 3 patients" in reply.get_header(REASON_HEADER)
    assert not list((settings.cache_dir / "runs" / job).glob("round_*"))


def test_checking_and_training_say_the_same_of_counts_below_the_hospital_s_minimum(
    executor, engine, tmp_path
):
    settings = site(tmp_path, ["P1", "P2", "P3", "P4", "P5"], min_count=2)
    Hospital(settings.dataset).brats("P6", without=("t1",))
    at_site(engine, settings)
    readiness = check(executor, engine)
    _, report = answer_of(execute(executor, engine, TRAIN))
    assert (readiness.can, readiness.usable_cases) == ("train", 5)
    assert (report.train_cases, report.validation_cases) == (3, 2)
    assert readiness.left_out == report.left_out == {"missing_image": None}
    told = [from_shareable(data).data for event, data in engine.events if event == SITE_STATE_EVENT]
    assert {one["state"] for one in told} >= {
        "reading labels",
        "checking cases",
        "preparing: preparing cases",
    }
    assert all(one["total"] == 0 for one in told if one["state"].endswith(("cases", "labels")))


def test_a_site_that_leaves_too_many_cases_out_still_says_which_kinds(executor, engine, tmp_path):
    settings = site(tmp_path, ["P1", "P2", "P3"], max_left_out=0.2)
    Hospital(settings.dataset).brats("P4", without=("t1",))
    at_site(engine, settings)
    readiness = check(executor, engine)
    assert (readiness.can, readiness.usable_cases) == ("nothing", 3)
    assert "max_left_out" in readiness.reason
    assert readiness.left_out == {"missing_image": 1}
    refused = execute(executor, engine, PREPARE).get_header(REASON_HEADER)
    assert refused == f"{readiness.reason} (1 missing_image)"


@pytest.mark.parametrize(
    ("patients", "settings", "can", "reason"),
    [
        (["P1"], {}, "evaluate", "one usable labeled patient"),
        (["P1", "P2"], {"role": "evaluates"}, "evaluate", "as the hospital decided"),
        ([], {}, "nothing", "the dataset folder as a whole can't be used"),
    ],
)
def test_checking_says_what_a_site_can_do(executor, engine, tmp_path, patients, settings, can, reason):
    at_site(engine, site(tmp_path, patients, **settings))
    readiness = check(executor, engine)
    assert readiness.can == can
    assert reason in readiness.reason
    assert str(tmp_path) not in readiness.model_dump_json()


@pytest.mark.parametrize("task", [PREPARE, TRAIN, VALIDATE])
def test_a_server_of_another_series_is_refused_with_both_versions(executor, engine, tmp_path, task):
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
    assert set(model.metrics) == {"dice", "dice_tc", "dice_wt", "dice_et", "validation_cases"}
    assert model.metrics["validation_cases"] == report.validation_cases == 1
    assert (report.role, report.train_cases, report.steps) == ("trains", 2, LEARNING.local_steps)
    assert report.left_out == {"missing_image": 1}
    assert report.loss is not None
    assert {"python", "consilium", "nvflare", "monai", "torch"} == set(report.versions)


def test_a_site_that_only_evaluates_answers_scores_and_no_difference(executor, engine, tmp_path):
    at_site(engine, site(tmp_path, role="evaluates"))
    model, report = answer_of(execute(executor, engine, TRAIN))
    assert not model.params
    assert model.metrics["validation_cases"] == 3
    assert 0 <= model.metrics["dice"] <= 1
    assert (report.role, report.steps, report.loss) == ("evaluates", 0, None)


def test_validation_has_distances_and_trains_nothing(executor, engine, tmp_path):
    at_site(engine, site(tmp_path))
    model, report = answer_of(execute(executor, engine, VALIDATE))
    assert not model.params
    assert {"hd95", "hd95_tc", "hd95_wt", "hd95_et", "dice"} <= set(model.metrics)
    assert report.steps == 0
    assert report.train_cases == 2


def test_data_is_prepared_once_a_job(executor, engine, tmp_path, monkeypatch):
    calls = []
    prepare = site_data.prepare_site
    monkeypatch.setattr(
        site_data, "prepare_site", lambda *args, **options: calls.append(1) or prepare(*args, **options)
    )
    at_site(engine, site(tmp_path, ["P1"]))
    for task in (TRAIN, VALIDATE, VALIDATE):
        answer_of(execute(executor, engine, task))
    assert calls == [1]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SiteRefusal("no usable labeled case: 3 left out"), "no usable labeled case: 3 left out"),
        (DataError(f"/mnt/ward/{PATIENT} is empty"), "DataError: the reason is in the site's log"),
        (ConfigurationError(f"/mnt/ward/{PATIENT}"), "ConfigurationError: the reason is in the site's log"),
        (TrainingError(f"/mnt/ward/{PATIENT}"), "TrainingError: the reason is in the site's log"),
        (KeyError(f"/mnt/ward/{PATIENT}"), "unexpected KeyError: the traceback is in the site's log"),
        (
            FileNotFoundError(2, "No such file", f"/mnt/ward/{PATIENT}/t1.nii"),
            "unexpected FileNotFoundError: the traceback is in the site's log",
        ),
        (MemoryError(f"/mnt/ward/{PATIENT}"), "unexpected MemoryError: the traceback is in the site's log"),
    ],
)
@pytest.mark.parametrize("task", [PREPARE, TRAIN, VALIDATE])
def test_whatever_fails_is_answered_with_a_reason_that_names_nobody(
    executor, engine, tmp_path, monkeypatch, caplog, task, error, reason
):
    def fail(*args, **options):
        raise error

    at_site(engine, site(tmp_path, []))
    monkeypatch.setattr(site_data, "prepare_site", fail)
    with caplog.at_level(logging.INFO):
        reply = execute(executor, engine, task)
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert reply.get_header(REASON_HEADER) == reason
    left_the_site = f"{dict(reply)} {engine.events}"
    assert PATIENT not in left_the_site
    assert "/mnt" not in left_the_site
    assert str(error) in caplog.text  # the site's own log has all of it


def test_a_refusal_says_its_kind_and_counts_what_was_left_out(executor, engine, tmp_path):
    settings = site(tmp_path, [], min_count=2)
    hospital = Hospital(settings.dataset)
    for patient in ("P1", "P2"):
        hospital.brats(patient, values=(0, 7))
    hospital.brats("P3", without=("t1",))
    at_site(engine, settings)
    reply = execute(executor, engine, PREPARE)
    assert reply.get_header(CODE_HEADER) == "no_labeled_case"
    assert reply.get_header(LEFT_OUT_HEADER) == {"bad_label_value": 2, "missing_image": None}


def test_a_process_that_can_t_answer_any_more_ends(executor, engine, tmp_path, monkeypatch, caplog):
    def fail(*args, **options):
        raise MemoryError

    at_site(engine, site(tmp_path, []))
    monkeypatch.setattr(site_data, "prepare_site", fail)
    monkeypatch.setattr(executor_module, "can_start_threads", lambda: False)
    monkeypatch.setattr(os, "_exit", sys.exit)
    with pytest.raises(SystemExit, match="1"), caplog.at_level(logging.INFO):
        execute(executor, engine, TRAIN)
    assert "can't answer" in caplog.text
    assert "MemoryError" in caplog.text


def test_patients_left_out_are_named_in_the_site_s_log_and_nowhere_else(executor, engine, tmp_path, caplog):
    settings = site(tmp_path / "ward", ["P1", "P2"])
    Hospital(settings.dataset).brats(PATIENT, values=(0, 7))
    at_site(engine, settings)
    with caplog.at_level(logging.INFO):
        reply = execute(executor, engine, TRAIN)
    assert f"case {PATIENT} is left out: bad_label_value" in caplog.text
    answer, report = answer_of(reply)
    assert report.left_out == {"bad_label_value": 1}
    left_the_site = f"{answer.meta} {answer.metrics} {reply.get('__headers__')} {engine.events}"
    assert PATIENT not in left_the_site
    assert "ward" not in left_the_site


def test_a_site_without_its_settings_refuses_and_goes_on_living(executor, engine, tmp_path):
    reply = execute(executor, engine, TRAIN)
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert reply.get_header(REASON_HEADER) == "ConfigurationError: the reason is in the site's log"
    at_site(engine, site(tmp_path, ["P1"]))  # the hospital mends it
    answer_of(execute(executor, engine, TRAIN))


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


def test_wrong_learning_settings_are_refused_before_anything_starts():
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
