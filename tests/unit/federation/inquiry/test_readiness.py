import numpy as np
import pytest
from anything import ANYTHING, shows_no_control
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from nvflare.apis.controller_spec import ClientTask
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import make_reply
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.errors import RefusalCode
from consilium.federation.inquiry.readiness import ReadinessCheck
from consilium.federation.message_names import CHECK, REASON_HEADER, REPORT_META
from consilium.federation.rounds.job_admission import readiness_path
from consilium.records.bounds import OTHER_CODE, MissingSite
from consilium.records.outcome import determine_outcome
from consilium.records.readiness import READINESS_FILE, ReadinessRecord, SiteReadiness, explain
from federation.flare import JOB_NAME, Engine
from federation.readiness import site


class Rehearsal(ReadinessCheck):
    """The controller with its sites in one process; how an answer is taken in is FLARE's own code."""

    def broadcast(self, task, fl_ctx, targets=None, min_responses=1, wait_time_after_min_received=0):
        assert task.name == CHECK
        clients = {client.name: client for client in self.engine.get_clients()}
        for name in targets:
            client_task = ClientTask(clients[name], task)
            client_task.result = self.sites[name]
            if client_task.result is not None:
                self._process_result(client_task, fl_ctx)

    def get_num_standing_tasks(self):
        return 0


@pytest.fixture
def run(tmp_path):
    def run(sites, abort=None):
        engine = Engine(tmp_path, clients=list(sites))
        controller = Rehearsal("brain_tumor")
        controller.sites = sites
        controller.start_controller(engine.context)
        controller.control_flow(abort or Signal(), engine.context)
        return ReadinessRecord.load(engine.run_folder / READINESS_FILE), engine

    return run


def answer(readiness):
    content = readiness if isinstance(readiness, dict) else readiness.model_dump()
    return FLModelUtils.to_shareable(FLModel(metrics={}, meta={REPORT_META: content}))


def test_an_aborted_check_leaves_a_record_that_no_training_job_goes_by(run):
    abort = Signal()
    abort.trigger(True)
    record, engine = run({"north": answer(site("train"))}, abort)
    assert record.reason == "aborted before all sites had answered"
    assert determine_outcome(record).kind == "failure"
    assert not readiness_path(engine.workspace, "brain_tumor").exists()


def test_every_site_s_answer_is_kept(run):
    north, clinic = site("train", usable_cases=12), site("evaluate", reason="one usable case")
    record, _ = run({"north": answer(north), "clinic": answer(clinic)})
    assert record.sites == {"north": north, "clinic": clinic}
    assert (record.job, record.task) == (JOB_NAME, "brain_tumor")
    assert record.able_to_train == ["north"]
    assert record.missing == {}


def test_a_site_without_an_answer_that_counts_is_missing_with_its_reason(run):
    refusing = make_reply(ReturnCode.EXECUTION_EXCEPTION, {REASON_HEADER: "versions do not fit"})
    talking = answer({**site("train").model_dump(), "patient": "Doe-Jane"})
    record, engine = run({"north": answer(site("train")), "south": refusing, "east": talking, "west": None})
    assert record.missing == {
        "south": MissingSite(reason="versions do not fit", code=RefusalCode.DECLINED),
        "east": MissingSite(
            reason="its answer can't be read; wrong is an unknown field", code=RefusalCode.ANSWER
        ),
        "west": MissingSite(reason="no answer within 240 minutes", code=RefusalCode.LATE),
    }
    assert record.able_to_train == ["north"]
    assert "Doe-Jane" not in (engine.run_folder / READINESS_FILE).read_text()


def test_the_server_keeps_the_last_check_for_other_jobs(run):
    record, engine = run({"north": answer(site("train"))})
    assert ReadinessRecord.load(readiness_path(engine.workspace, "brain_tumor")) == record


@pytest.mark.parametrize(
    "extra", [{"params": {"w": np.ones(2)}, "params_type": ParamsType.DIFF}, {"metrics": {"x": 1}}]
)
def test_an_answer_brings_no_arrays_and_no_scores(run, extra):
    content = site("train").model_dump()
    smuggling = FLModelUtils.to_shareable(FLModel(**{"metrics": {}, **extra}, meta={REPORT_META: content}))
    record, _ = run({"north": answer(site("train")), "east": smuggling})
    smuggled = "it sent an update or scores that were not requested"
    assert record.missing == {"east": MissingSite(reason=smuggled, code=RefusalCode.ANSWER)}
    assert record.able_to_train == ["north"]


def test_words_that_are_not_the_task_s_own_are_not_kept(run):
    honest = site("train", layout="bids", label_convention="brats-2023")
    talking = site("train", layout="call-555-0199", label_convention="paid.by.example.org")
    record, _ = run({"north": answer(honest), "east": answer(talking)})
    assert record.sites["north"] == honest
    assert (record.sites["east"].layout, record.sites["east"].label_convention) == (OTHER_CODE, OTHER_CODE)


@settings(max_examples=examples(20))
@given(field=st.sampled_from(list(SiteReadiness.model_fields)), value=ANYTHING)
def test_whatever_a_site_says_of_itself_the_check_can_be_read(tmp_path_factory, field, value):
    content = site("train").model_dump() | {field: value}
    engine = Engine(tmp_path_factory.mktemp("check"), clients=("north", "east"))
    controller = Rehearsal("brain_tumor")
    controller.sites = {"north": answer(site("train")), "east": answer(content)}
    controller.start_controller(engine.context)
    controller.control_flow(Signal(), engine.context)
    record = ReadinessRecord.load(engine.run_folder / READINESS_FILE)
    assert "north" in record.able_to_train
    assert (engine.run_folder / READINESS_FILE).stat().st_size < 10_000
    assert shows_no_control(explain("east", record))
