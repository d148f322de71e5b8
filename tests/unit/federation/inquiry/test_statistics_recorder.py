import json

import pytest
from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import ReservedKey
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.statistics_spec import Bin
from nvflare.app_common.app_constant import StatisticsConstants as Names

from consilium.errors import RefusalCode
from consilium.federation.inquiry.patient_statistics import DATASET
from consilium.federation.inquiry.statistics_recorder import StatisticsRecorder
from consilium.records.bounds import MissingSite
from consilium.records.outcome import determine_outcome
from consilium.records.statistics import SiteAnswer, StatisticsRecord
from consilium.tasks import get_task
from federation.flare import Engine

TASK = "brain_tumor"
FEATURES = [feature.name for feature in get_task(TASK).statistics.features()]


@pytest.fixture
def server(tmp_path):
    recorder = StatisticsRecorder(TASK, {"min_count": 3})
    engine = Engine(tmp_path, {"recorder": recorder}, clients=("north", "south", "west"))
    engine.fire_event(EventType.START_RUN, engine.context)
    return engine, recorder


def take_handshake(engine, site, answer):
    data = DXO(DataKind.STATISTICS, data=answer)
    engine.context.set_prop(Names.PRE_RUN_RESULT, {site: data}, private=True, sticky=False)
    engine.fire_event(EventType.PRE_RUN_RESULT_AVAILABLE, engine.context)


def combined(sites):
    """What FLARE's controller hands to a writer: one feature of some sites."""
    return {
        "absence_et": {
            "count": {site: {DATASET: count} for site, (count, _) in sites.items()},
            "histogram": {
                site: {DATASET: [Bin(place - 0.5, place + 0.5, value) for place, value in enumerate(bins)]}
                for site, (_, bins) in {**sites, "Global": (0, (9, 9))}.items()
            },
        },
        "unknown_feature": {"count": {"north": {DATASET: 1}}},
    }


def test_an_aborted_job_is_recorded_as_aborted_though_enough_sites_had_answered(server):
    engine, recorder = server
    abort = Signal()
    abort.trigger(True)
    engine.context.set_prop(ReservedKey.RUN_ABORT_SIGNAL, abort, private=True, sticky=True)
    recorder.save(combined({"north": (5, (2, 3))}), True, engine.context)
    record = StatisticsRecord.load(engine.run_folder)
    assert (record.status, record.reason) == ("failed", "aborted before all sites had answered")
    assert determine_outcome(record).kind == "failure"


def test_the_record_holds_what_sites_sent_and_why_others_are_missing(server):
    engine, recorder = server
    take_handshake(engine, "north", SiteAnswer(patients=5, cases=6, min_count=3).model_dump())
    take_handshake(
        engine,
        "south",
        SiteAnswer(min_count=1, reason="its disk is away", code=RefusalCode.DATASET).model_dump(),
    )
    recorder.save(combined({"north": (5, (2, 3))}), True, engine.context)
    record = StatisticsRecord.load(engine.run_folder)
    assert (record.status, record.job, record.settings) == (
        "finished",
        "brain_tumor_fedavg",
        {"min_count": 3},
    )
    assert list(record.features) == FEATURES
    assert record.features["absence_et"].sites.keys() == {"north"}
    assert record.features["absence_et"].sites["north"].bins == [2, 3]
    assert record.missing == {
        "south": MissingSite(reason="its disk is away", code=RefusalCode.DATASET),
        "west": MissingSite(
            reason="its task failed or did not end; the site's log may say why", code=RefusalCode.FAILED
        ),
    }


@pytest.mark.parametrize("bins", [(1,), (1, 2, 3), (float("nan"), 1), (-1, 1), ()])
def test_bins_that_nobody_asked_for_are_not_kept(server, bins):
    engine, recorder = server
    take_handshake(engine, "north", SiteAnswer(patients=5, min_count=1).model_dump())
    recorder.save(combined({"north": (5, bins)}), True, engine.context)
    record = StatisticsRecord.load(engine.run_folder)
    assert record.features["absence_et"].sites == {}
    assert record.missing["north"].reason == "it said that it is ready, but no statistics came"


@pytest.mark.parametrize("answer", [{"patients": "many"}, {"min_count": 1, "ids": ["Doe"]}, None])
def test_an_answer_that_is_none_makes_the_site_missing(server, answer):
    engine, recorder = server
    take_handshake(engine, "north", answer)
    recorder.save({}, True, engine.context)
    assert (
        StatisticsRecord.load(engine.run_folder)
        .missing["north"]
        .reason.startswith("its answer can't be read")
    )


def test_a_label_convention_that_is_not_the_task_s_own_is_not_kept(server):
    engine, _ = server
    for site, convention in (("north", "brats-2023"), ("south", "call-555-0199")):
        take_handshake(engine, site, {"min_count": 3, "label_convention": convention})
    sites = StatisticsRecord.load(engine.run_folder).sites
    assert (sites["north"].label_convention, sites["south"].label_convention) == ("brats-2023", "other")


def test_a_job_that_ends_early_leaves_a_record_that_says_so(server):
    engine, _ = server
    take_handshake(
        engine,
        "south",
        SiteAnswer(min_count=1, reason="its disk is away", code=RefusalCode.DATASET).model_dump(),
    )
    engine.fire_event(EventType.END_RUN, engine.context)
    record = StatisticsRecord.load(engine.run_folder)
    assert record.status == "failed"
    assert record.missing["south"].reason == "its disk is away"
    assert json.loads((engine.run_folder / "statistics.json").read_text())["reason"]
