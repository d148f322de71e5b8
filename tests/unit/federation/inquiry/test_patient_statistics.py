"""A statistics job of which one site answers anything: the others' histograms are those of an honest job."""

import numpy as np
import pytest
from anything import ANYTHING, NUMBERS, TEXTS
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from nvflare.apis.controller_spec import ClientTask, Task
from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.app_common.abstract.statistics_spec import Bin, Histogram, HistogramType
from nvflare.app_common.app_constant import StatisticsConstants as Names
from nvflare.app_common.statistics.numeric_stats import get_global_stats
from nvflare.app_common.statistics.statisitcs_objects_decomposer import fobs_registration
from nvflare.fuel.utils import fobs

from consilium.federation.exchange.answer_form import RejectedAnswer
from consilium.federation.inquiry.patient_statistics import DATASET, PatientStatistics, read_statistics
from consilium.federation.inquiry.site_statistics import histogram_config
from consilium.federation.inquiry.statistics_recorder import StatisticsRecorder
from consilium.federation.message_names import REASON_HEADER
from consilium.records.statistics import SiteAnswer, StatisticsRecord
from consilium.report.statistics.page import render_statistics
from federation.flare import Engine

fobs_registration()

TASK = "brain_tumor"
FEATURES = histogram_config(TASK)
PATIENTS = 4


def histogram(name):
    bins, (low, high) = FEATURES[name]["bins"], FEATURES[name]["range"]
    edges = np.linspace(low, high, bins + 1).tolist()
    counts = [float(PATIENTS), *[0.0] * (bins - 1)]
    return Histogram(
        HistogramType.STANDARD, [Bin(*row) for row in zip(edges[:-1], edges[1:], counts, strict=True)]
    )


def statistics(stage):
    counts = dict.fromkeys(FEATURES, PATIENTS)
    values = {Names.STATS_COUNT: counts, Names.STATS_FAILURE_COUNT: dict.fromkeys(FEATURES, 0)}
    if stage == Names.STATS_1st_STATISTICS:
        values |= {
            Names.STATS_MIN: {name: one["range"][0] for name, one in FEATURES.items()},
            Names.STATS_MAX: {name: one["range"][1] for name, one in FEATURES.items()},
        }
    else:
        values[Names.STATS_HISTOGRAM] = {name: histogram(name) for name in FEATURES}
    return {name: {DATASET: one} for name, one in values.items()}


def reply(stage, content=None):
    content = statistics(stage) if content is None else content
    data = {Names.STATISTICS_TASK_KEY: stage, stage: fobs.dumps(content)}
    return DXO(DataKind.STATISTICS, data=data).to_shareable()


def handshake(**changes):
    answer = SiteAnswer(patients=PATIENTS, cases=PATIENTS, min_count=1).model_dump() | changes
    return DXO(DataKind.STATISTICS, data=answer).to_shareable()


class Job:
    """FLARE's controller and our recorder, handed what sites have sent."""

    def __init__(self, folder):
        self.recorder = StatisticsRecorder(TASK, {"min_count": 1})
        self.controller = PatientStatistics(
            {Names.STATS_COUNT: {}, Names.STATS_HISTOGRAM: FEATURES}, "recorder", min_clients=2
        )
        parts = {"recorder": self.recorder, "statistics": self.controller}
        self.engine = Engine(folder, parts, ("north", "south", "liar"))
        self.engine.fire_event(EventType.START_RUN, self.engine.context)
        self.controller.start_controller(self.engine.context)

    def take(self, site, stage, result):
        client = next(one for one in self.engine.clients if one.name == site)
        task = Task("fed_stats", Shareable(), props={Names.STATISTICS_TASK_KEY: stage})
        client_task = ClientTask(client, task)
        client_task.result = result
        callback = self.controller.results_pre_run_cb if stage is None else self.controller.results_cb
        callback(client_task, self.engine.new_context())
        assert client_task.result is None

    def run(self, lies):
        """Let two honest sites and one that lies at some stages answer; returns the record."""
        stages = (None, Names.STATS_1st_STATISTICS, Names.STATS_2nd_STATISTICS)
        for stage in stages:
            honest = handshake() if stage is None else reply(stage)
            for site in ("north", "liar", "south"):
                lied = site == "liar" and stage in lies
                self.take(site, stage, lies[stage] if lied else honest)
            if stage is not None:
                controller = self.controller
                controller.global_statistics = get_global_stats(
                    controller.global_statistics,
                    controller.client_statistics,
                    stage,
                    controller.statistic_configs,
                    controller.precision,
                )
        assert self.controller.global_statistics[Names.STATS_MIN][DATASET] == {
            name: one["range"][0] for name, one in FEATURES.items()
        }
        self.recorder.save(self.controller._combine_all_statistics(), True, self.engine.context)
        return StatisticsRecord.load(self.engine.run_folder)


@pytest.fixture
def job(tmp_path):
    return Job(tmp_path)


def check(record, *, page=True):
    assert record.status == "finished"
    for feature in record.features.values():
        assert feature.sites.keys() >= {"north", "south"}
        assert sum(feature.sites["north"].bins) == PATIENTS
    assert not page or render_statistics(record)
    return record


@pytest.mark.long
def test_honest_sites_are_all_in_the_record(job):
    record = check(job.run({}))
    assert record.missing == {}
    assert record.features["volume_wt"].sites.keys() == {"north", "south", "liar"}


LATER = (Names.STATS_1st_STATISTICS, Names.STATS_2nd_STATISTICS)


def lie_at(stage, name, feature, value):
    content = statistics(stage)
    content[name][DATASET][feature] = value
    return {stage: reply(stage, content)}


LIES = {
    "a failure": {LATER[0]: make_reply(ReturnCode.EXECUTION_EXCEPTION, {REASON_HEADER: "its\x1b disk"})},
    "what ends a job": {LATER[0]: make_reply(ReturnCode.TASK_UNKNOWN)},
    "no DXO": {LATER[0]: Shareable()},
    "no message": {LATER[1]: [1]},
    "another stage": {LATER[0]: reply(LATER[1])},
    "no handshake": {None: DXO(DataKind.STATISTICS, data={"patients": "many"}).to_shareable()},
    "a count": lie_at(LATER[0], Names.STATS_COUNT, "volume_wt", 10**15),
    "a count of text": lie_at(LATER[1], Names.STATS_COUNT, "volume_wt", "4"),
    "another range": lie_at(LATER[0], Names.STATS_MAX, "volume_wt", 1e300),
    "an array as range": lie_at(LATER[0], Names.STATS_MIN, "volume_wt", [1, 2]),
    "another feature": lie_at(LATER[1], Names.STATS_COUNT, "name_of_patient", 4),
    "no histogram": lie_at(LATER[1], Names.STATS_HISTOGRAM, "volume_wt", 7),
    "fewer bins": lie_at(LATER[1], Names.STATS_HISTOGRAM, "volume_wt", histogram("absence_et")),
    "more patients": lie_at(LATER[1], Names.STATS_COUNT, "volume_wt", 1),
    "another data set": {LATER[1]: reply(LATER[1], {Names.STATS_COUNT: {"x": {}}})},
    "bytes": {LATER[1]: reply(LATER[1], b"x" * 2_000_000)},
}


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize("lie", LIES)
def test_a_site_that_fails_or_sends_what_nobody_asked_for_is_left_out_with_its_reason(job, lie):
    record = check(job.run(LIES[lie]), page=lie == "a failure")  # whose reason has control characters
    assert record.missing.keys() == {"liar"}
    assert record.missing["liar"].reason.isprintable()
    assert "liar" not in record.sites
    assert all("liar" not in feature.sites for feature in record.features.values())


def test_statistics_that_are_too_large_are_not_even_unpacked(monkeypatch):
    monkeypatch.setattr(fobs, "loads", lambda packed: pytest.fail("unpacked"))
    data = {Names.STATISTICS_TASK_KEY: LATER[0], LATER[0]: b"x" * 2_000_000}
    with pytest.raises(RejectedAnswer, match="its statistics have 2000000 bytes"):
        read_statistics(DXO(DataKind.STATISTICS, data=data).to_shareable(), LATER[0], FEATURES)


@settings(max_examples=examples(20))
@given(
    stage=st.sampled_from([None, *LATER]),
    place=st.sampled_from(["answer", "data", "packed", "unpacked", "statistic", "feature", "patients"]),
    value=ANYTHING | NUMBERS | TEXTS,
)
def test_whatever_a_site_answers_the_others_are_reported(tmp_path_factory, stage, place, value):
    lie = value
    if place != "answer":
        lie = handshake() if stage is None else reply(stage)
        content = lie["DXO"]
        if place == "data":
            content["data"] = value
        elif place == "patients" or stage is None:
            content["data"]["patients"] = value
        elif place == "packed":
            content["data"][stage] = value
        else:
            said = statistics(stage)
            name = list(said)[-1]
            if place == "statistic":
                said[name] = value
            elif place == "feature":
                said[name][DATASET]["volume_wt"] = value
            try:
                lie = reply(stage, value if place == "unpacked" else said)
            except Exception:  # noqa: BLE001 - FLARE can't send it
                return
    check(Job(tmp_path_factory.mktemp("job")).run({stage: lie}), page=False)  # it is drawn above
