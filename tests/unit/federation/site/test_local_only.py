"""A site trains a model alone: what leaves, what stays, what a restart repeats, and who may forbid it."""

import json

import numpy as np
import pytest
from learning import tiny
from learning.tiny import LEARNING
from nvflare.apis.dxo import from_shareable
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.job_def import new_job_id
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.federation.message_names import (
    CODE_HEADER,
    LOCAL_ONLY,
    REASON_HEADER,
    REPORT_META,
    RUN_META,
    SITE_STATE_EVENT,
    TRAIN,
)
from consilium.federation.site import state
from consilium.federation.site.executor import SiteExecutor
from consilium.federation.site.local_only import PATIENTS_FILE
from consilium.learning import trainer
from consilium.learning.network_state import initial_weights
from consilium.learning.round_state import RoundStateStore
from consilium.learning.weights import MODEL
from consilium.participant.site_data import prepare_site
from consilium.records.federation import SiteReport
from consilium.records.site_status import read_site_status
from consilium.report.status.site import describe_site
from consilium.tasks import get_task
from federation.flare import Engine

WEIGHTS = initial_weights(get_task("brain_tumor"), LEARNING, 0)
ROUNDS = 3
PATIENTS = ["P1", "P2", "P3", "P4", "P5"]
JOB = new_job_id()


def site(folder, patients, **settings):
    """A hospital that has a test set, and so nobody to validate on."""
    shares = {"validation_fraction": 0.0, "test_fraction": 0.4}
    return tiny.site(folder, patients, **{**shares, **settings})


def start(folder, settings, *, learning=LEARNING, job=JOB):
    """A site's process, as FLARE starts it."""
    engine = Engine(folder / "workspace", job_id=job)
    properties = {"consilium": settings.model_dump(mode="json", exclude_defaults=True)}
    engine.context.set_prop(FLContextKey.SCOPE_PROPERTIES, properties, private=True, sticky=False)
    executor = SiteExecutor(learning.model_dump(mode="json"))
    executor.handle_event(EventType.START_RUN, engine.context)
    return executor, engine


def ask(executor, engine, *, task=LOCAL_ONLY, index=ROUNDS, weights=WEIGHTS, abort=None):
    model = FLModel(
        params_type=ParamsType.FULL,
        params=dict(weights),
        current_round=index,
        total_rounds=ROUNDS,
        meta={RUN_META: JOB},
    )
    return executor.execute(task, FLModelUtils.to_shareable(model), engine.context, abort or Signal())


def compare(executor, engine, **question):
    reply = ask(executor, engine, **question)
    assert reply.get_return_code() == ReturnCode.OK, reply.get_header(REASON_HEADER)
    model = FLModelUtils.from_shareable(reply)
    return model, SiteReport.model_validate(model.meta[REPORT_META])


def local_model(settings):
    return RoundStateStore(settings.cache_dir / "runs" / JOB / "local_only").recall(ROUNDS).arrays[MODEL]


@pytest.fixture
def steps(monkeypatch):
    """Counts the optimizer's steps."""
    taken = []
    step = trainer.Trainer._step

    def count(self, local, batch, number):
        taken.append(1)
        return step(self, local, batch, number)

    monkeypatch.setattr(trainer.Trainer, "_step", count)
    return taken


def test_scores_leave_and_neither_the_model_nor_its_loss(tmp_path, monkeypatch):
    monkeypatch.setattr(state, "_SHORTEST_PAUSE", 0.0)  # every step is reported
    monkeypatch.setattr(state, "_SHARE", 0.0)
    settings = site(tmp_path, PATIENTS)
    executor, engine = start(tmp_path, settings)
    model, report = compare(executor, engine)
    assert not model.params
    assert set(model.metrics) <= {"validation_cases", "test_cases"}
    assert report.loss is None
    assert report.steps == ROUNDS * LEARNING.local_steps
    assert report.gain.patients == report.test_cases == 2
    assert report.gain.local.keys() == report.gain.federated.keys()
    reported = [from_shareable(data).data for event, data in engine.events if event == SITE_STATE_EVENT]
    assert {one["loss"] for one in reported} == {None}
    states = list(dict.fromkeys(one["state"] for one in reported))
    assert [f"training alone, round {number} of {ROUNDS}" for number in (1, 2, 3)] == states[2:5]
    assert states[5:] == ["comparing both models", "sent"]
    assert str(PATIENTS[0]) not in json.dumps(report.model_dump())


@pytest.mark.long
def test_it_makes_the_steps_of_a_federation_of_one(tmp_path):
    """Were every round's average the site's own model, the federation would give the local-only model."""
    settings = site(tmp_path, PATIENTS)
    executor, engine = start(tmp_path, settings)
    average = initial_weights(get_task("brain_tumor"), LEARNING, LEARNING.seed)
    for index in range(ROUNDS):
        compare(executor, engine, task=TRAIN, index=index, weights=average)
        average = RoundStateStore(settings.cache_dir / "runs" / JOB).recall(ROUNDS).arrays[MODEL]
    compare(executor, engine)
    alone = local_model(settings)
    for name, value in average.items():
        np.testing.assert_array_equal(alone[name], value)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("rounds_done", [pytest.param(0, marks=pytest.mark.long), 2, ROUNDS])
def test_a_new_process_resumes_and_repeats_no_finished_round(tmp_path, steps, rounds_done):
    whole = site(tmp_path / "whole", PATIENTS)
    compare(*start(tmp_path / "whole", whole))
    a_round = len(steps) // ROUNDS
    steps.clear()

    settings = site(tmp_path / "killed", PATIENTS)
    executor, engine = start(tmp_path / "killed", settings)
    abort = Signal()

    def kill(event, data):
        if event == SITE_STATE_EVENT and len(steps) > rounds_done * a_round:
            abort.trigger(True)
        if event == SITE_STATE_EVENT and from_shareable(data).data["state"] == "comparing both models":
            abort.trigger(True)

    engine.on_event = kill
    assert ask(executor, engine, abort=abort).get_return_code() == ReturnCode.TASK_ABORTED
    steps.clear()
    _, report = compare(*start(tmp_path / "killed", settings))
    assert len(steps) == (ROUNDS - rounds_done) * a_round
    assert report.gain is not None
    expected, resumed = local_model(whole), local_model(settings)
    for name, value in expected.items():
        np.testing.assert_array_equal(resumed[name], value)


@pytest.mark.long
def test_a_job_that_resumes_an_interrupted_one_finds_the_model(tmp_path, steps):
    settings = site(tmp_path, PATIENTS)
    _, first = compare(*start(tmp_path, settings))
    steps.clear()
    _, again = compare(*start(tmp_path, settings, job=new_job_id()))
    assert not steps
    assert again.gain == first.gain


def test_the_hospital_may_forbid_it(tmp_path, steps):
    reply = ask(*start(tmp_path, site(tmp_path, PATIENTS, local_only=False)))
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert reply.get_header(CODE_HEADER) == "no_local_only"
    assert "the hospital decided" in reply.get_header(REASON_HEADER)
    assert not steps


def test_a_site_that_only_evaluates_has_none(tmp_path, steps):
    reply = ask(*start(tmp_path, site(tmp_path, PATIENTS, role="evaluates")))
    assert "only evaluates" in reply.get_header(REASON_HEADER)
    assert not steps


def test_too_few_patients_say_nothing_of_the_gain(tmp_path):
    learning = LEARNING.model_copy(update={"local_steps": 4})
    settings = site(tmp_path, PATIENTS)
    prepare_site(settings, LEARNING)  # the hospital has split its patients, and asks for more since
    settings = settings.model_copy(update={"min_training_patients": 3})
    model, report = compare(*start(tmp_path, settings, learning=learning))
    assert (report.gain, report.test_cases, model.metrics) == (None, None, {"validation_cases": 0.0})


@pytest.mark.long
def test_the_interval_is_of_min_count_patients_and_the_mean_of_fewer(tmp_path):
    patients = [f"P{number}" for number in range(14)]
    free = site(tmp_path / "free", patients)
    _, report = compare(*start(tmp_path / "free", free))
    assert report.gain.patients >= 5
    assert report.gain.gains["dice"].low is not None
    strict = site(tmp_path / "strict", patients, min_count=report.gain.patients + 1)
    _, report = compare(*start(tmp_path / "strict", strict))
    assert report.gain.gains["dice"].low is None


@pytest.mark.long
def test_the_hospital_sees_its_own_patients(tmp_path):
    settings = site(tmp_path, PATIENTS)
    executor, engine = start(tmp_path, settings)
    _, report = compare(executor, engine)
    (status,) = read_site_status(engine.workspace.get_root_dir())
    assert status.gain == report.gain
    assert len(status.patient_gains) == 2
    lines = describe_site(status)
    assert any("trained here alone" in line and "of 2 patients" in line for line in lines)
    kept = settings.cache_dir / "runs" / JOB / "local_only" / PATIENTS_FILE
    assert any(str(kept.parent) in line for line in lines)
    patients = json.loads(kept.read_text())
    assert {one["patient"] for one in patients} < set(PATIENTS)
    assert kept.stat().st_mode & 0o077 == 0
