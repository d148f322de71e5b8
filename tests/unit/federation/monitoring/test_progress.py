import json
import math

import pytest
from anything import ANYTHING, shows_no_control
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import EventScope, FLContextKey, ReservedKey
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType
from nvflare.widgets.info_collector import InfoCollector
from report.study import federation

from consilium.federation.message_names import CHECKPOINT_EVENT
from consilium.federation.monitoring.job_events import (
    ANSWER_REFUSED,
    ANSWER_TAKEN,
    TASK_ASKED,
    TASK_CLOSED,
    TASK_CLOSING,
)
from consilium.federation.monitoring.job_outcomes import JOB_ENDED_TOPIC
from consilium.federation.monitoring.progress import ProgressReceiver
from consilium.records.federation import Resumption, SiteReport, SiteRound
from consilium.records.progress import JobProgress, describe_progress, read_progress
from federation.flare import Engine


@pytest.fixture
def engine(tmp_path):
    engine = Engine(tmp_path, {"progress": ProgressReceiver()}, clients=("north", "south", "evil"))
    engine.fire_event(EventType.START_RUN, engine.context)
    return engine


def say(engine, site, **data):
    """As FLARE hands over what a site said: a federation event, the sender in the peer's properties."""
    message = DXO(DataKind.ANALYTIC, data=data).to_shareable()
    message.set_peer_props({ReservedKey.IDENTITY_NAME: site})
    context = engine.new_context()
    context.set_prop(FLContextKey.EVENT_SCOPE, EventScope.FEDERATION, private=True, sticky=False)
    context.set_prop(FLContextKey.EVENT_DATA, message, private=True, sticky=False)
    engine.fire_event("fed.consilium_site_state", context)


def start_round(engine, index, rounds):
    engine.context.set_prop(AppConstants.CURRENT_ROUND, index, private=True, sticky=False)
    engine.context.set_prop(AppConstants.NUM_ROUNDS, rounds, private=True, sticky=False)
    engine.fire_event(AppEventType.ROUND_STARTED, engine.context)


def test_before_the_first_round_there_is_a_file_without_sites(engine):
    progress = read_progress(engine.run_folder)
    assert (progress.round, progress.rounds, progress.sites) == (0, 0, {})


def test_rounds_count_from_one_and_every_site_has_its_last_state(engine):
    start_round(engine, 1, 5)
    say(engine, "north", state="training", done=3, total=40, loss=0.5)
    say(engine, "south", state="validating", done=1, total=2, loss=None)
    say(engine, "north", state="training", done=12, total=40, loss=0.4)
    progress = read_progress(engine.run_folder)
    assert (progress.round, progress.rounds) == (2, 5)
    assert {name: str(state) for name, state in progress.sites.items()} == {
        "north": "training 12/40",
        "south": "validating 1/2",
    }
    assert progress.sites["north"].loss == 0.4


def test_a_site_can_neither_flood_nor_break_the_file(engine):
    say(engine, "evil", state="x" * 100_000, done=1, total=2, loss=None)
    say(engine, "evil", state="sent", done="many", total=2, loss=None)
    assert len(read_progress(engine.run_folder).sites["evil"].state) == 80
    assert len(json.dumps(json.loads((engine.run_folder / "progress.json").read_text()))) < 1000


def announce(engine, event, **data):
    context = engine.new_context()
    context.set_prop(FLContextKey.EVENT_DATA, data, private=True, sticky=False)
    engine.fire_event(event, context)


def ask(engine, *sites, seconds=math.inf):
    announce(engine, TASK_ASKED, task="train", sites=list(sites), seconds=seconds)


def take(engine, site, role="trains", **left_out):
    report = SiteReport(role=role, train_cases=30, validation_cases=8, left_out=left_out)
    announce(engine, ANSWER_TAKEN, site=site, report=report.model_dump())


def end(engine, **changes):
    """Let the job end with a record as the controller leaves it."""
    federation(**changes).save(engine.run_folder)
    engine.fire_event(EventType.END_WORKFLOW, engine.context)
    return read_progress(engine.run_folder)


def test_a_site_that_keeps_its_scores_counts_what_it_trains_on(engine):
    report = SiteReport(role="trains", train_cases=30, validation_cases=None)
    ask(engine, "north")
    announce(engine, ANSWER_TAKEN, site="north", report=report.model_dump())
    assert read_progress(engine.run_folder).sites["north"].used == 30


def test_who_is_waited_for_and_until_when(engine):
    start_round(engine, 0, 5)
    ask(engine, "north", "south")
    progress = read_progress(engine.run_folder)
    assert (progress.task, progress.awaited, progress.until) == ("train", ["north", "south"], None)
    take(engine, "north")
    announce(engine, TASK_CLOSING, seconds=60.0)
    progress = read_progress(engine.run_folder)
    assert progress.awaited == ["south"]
    assert 0 < progress.until - progress.now <= 60
    announce(engine, TASK_CLOSED)
    progress = read_progress(engine.run_folder)
    assert (progress.awaited, progress.until) == ([], None)
    assert progress.sites["south"].answer == "none"
    assert "had not answered" in progress.sites["south"].problem.reason
    assert progress.sites["south"].problem.code == "late"


def test_a_site_that_was_lost_is_no_late_one(engine):
    start_round(engine, 0, 5)
    ask(engine, "north", "south")
    announce(engine, TASK_CLOSED, lost={"south": "its process or its connection was lost"})
    sites = read_progress(engine.run_folder).sites
    assert [sites[name].problem.code for name in ("north", "south")] == ["late", "lost"]
    assert sites["south"].problem.reason == "its process or its connection was lost"


def test_a_deadline_is_a_time_of_the_server_s_clock(engine):
    ask(engine, "north", seconds=3600.0)
    progress = read_progress(engine.run_folder)
    assert 3590 < progress.until - progress.now <= 3600


def test_what_a_site_brings_in_is_counted_and_a_suppressed_count_stays_suppressed(engine):
    start_round(engine, 0, 5)
    ask(engine, "north", "south")
    take(engine, "north", truncated=2, not_3d=1)
    take(engine, "south", truncated=None)
    sites = read_progress(engine.run_folder).sites
    assert (sites["north"].used, sites["north"].left_out) == (38, 3)
    assert (sites["south"].used, sites["south"].left_out) == (38, None)


def test_a_round_counts_for_the_sites_whose_update_is_in_it(engine):
    start_round(engine, 0, 5)
    ask(engine, "clinic", "north", "south")
    for site, role in (("clinic", "evaluates"), ("north", "trains"), ("south", "trains")):
        take(engine, site, role)
    announce(
        engine, ANSWER_REFUSED, site="south", reason="its update is rejected: it is ten times the others'"
    )
    engine.fire_event(AppEventType.ROUND_DONE, engine.context)
    progress = read_progress(engine.run_folder)
    assert {name: site.rounds_used for name, site in progress.sites.items()} == {
        "clinic": 0,
        "north": 1,
        "south": 0,
    }
    assert progress.sites["south"].problem.round == 1
    assert progress.round_seconds is not None


def test_a_round_that_is_tried_again_says_how_often(engine):
    for index in (0, 0, 0, 1):
        start_round(engine, index, 5)
        if index == 0:
            attempts = read_progress(engine.run_folder).attempt
    assert attempts == 3
    assert read_progress(engine.run_folder).attempt == 1


def test_a_state_lasts_from_when_it_began_and_a_reason_can_t_command_a_terminal(engine):
    say(engine, "north", state="training", done=1, total=40)
    began = read_progress(engine.run_folder).sites["north"].since
    say(engine, "north", state="training", done=2, total=40)
    site = read_progress(engine.run_folder).sites["north"]
    assert site.since == began <= site.heard
    announce(engine, ANSWER_REFUSED, site="north", reason="\x1b[2Jgone\n" + "x" * 1000)
    reason = read_progress(engine.run_folder).sites["north"].problem.reason
    assert reason.startswith("[2Jgone xx")
    assert len(reason) <= 400


def test_checkpoints_and_the_jobs_that_it_resumes_are_reported(engine):
    resumed = [Resumption(job="11111111-2222-3333-4444-555555555555", after_round=3)]
    federation(status="running", resumed=resumed).save(engine.run_folder)
    ask(engine, "north")
    announce(engine, CHECKPOINT_EVENT, round=4, time=1000.0, seconds=0.25)
    progress = read_progress(engine.run_folder)
    assert (progress.checkpoint.round, progress.checkpoint.time) == (4, 1000.0)
    assert progress.resumed == resumed


def test_the_job_s_stats_are_its_progress(engine):
    start_round(engine, 0, 5)
    ask(engine, "north")
    collector = InfoCollector()
    collector.handle_event(EventType.START_RUN, engine.context)
    stats = collector.get_run_stats()["consilium"]
    assert JobProgress.model_validate(json.loads(json.dumps(stats))).awaited == ["north"]


@pytest.mark.parametrize(
    ("changes", "kind", "reason"),
    [
        ({}, "success", None),
        ({"status": "failed", "reason": "too few sites"}, "failure", "too few sites"),
        ({"preparation": {"dahlia": SiteRound(outcome="no answer")}}, "partial", "dahlia is not part"),
    ],
)
def test_the_outcome_is_decided_by_the_record_and_sent_to_the_sites(engine, changes, kind, reason):
    heard = []
    engine.register_aux_message_handler(JOB_ENDED_TOPIC, lambda topic, request, fl_ctx: heard.append(request))
    ended = end(engine, **changes).ended
    assert ended.kind == kind
    assert reason is None or reason in " ".join(map(str, ended.reasons))
    assert [request["outcome"] for request in heard] == [kind]


def test_a_job_that_leaves_no_record_has_failed(engine):
    engine.fire_event(EventType.END_WORKFLOW, engine.context)
    assert read_progress(engine.run_folder).ended.kind == "failure"


@settings(max_examples=examples(60))
@given(field=st.sampled_from(["state", "done", "total", "loss", "note"]), value=ANYTHING)
def test_whatever_a_site_says_of_itself_the_others_are_shown_and_the_file_can_be_read(
    tmp_path_factory, field, value
):
    folder = tmp_path_factory.mktemp("progress")
    engine = Engine(folder, {"progress": ProgressReceiver()}, clients=("north", "evil"))
    engine.fire_event(EventType.START_RUN, engine.context)
    said = {"state": "training", "done": 3, "total": 40, "loss": 0.5}
    say(engine, "evil", **{**said, field: value})
    say(engine, "north", **said)
    progress = read_progress(engine.run_folder)
    assert str(progress.sites["north"]) == "training 3/40"
    assert (engine.run_folder / "progress.json").stat().st_size < 2000
    assert shows_no_control(describe_progress(progress))


def test_a_name_that_is_no_site_of_the_job_is_not_shown(engine):
    say(engine, "../../elsewhere", state="training", done=1, total=2, loss=None)
    assert read_progress(engine.run_folder).sites == {}


@pytest.mark.parametrize("loss", [[1.0], float("inf"), "0.5", True])
def test_a_loss_that_is_no_number_is_not_kept(engine, loss):
    say(engine, "north", state="training", done=1, total=2, loss=loss)
    assert read_progress(engine.run_folder).sites == {}
