import json

import numpy as np
import pytest
from nvflare.apis.client import Client
from nvflare.apis.controller_spec import ClientTask
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import make_reply
from nvflare.apis.signal import Signal
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.errors import ConfigurationError, RefusalCode
from consilium.federation.message_names import (
    CODE_HEADER,
    LEFT_OUT_HEADER,
    PREPARE,
    REASON_HEADER,
    TRAIN,
    VALIDATE,
    VERSIONS_META,
)
from consilium.federation.rounds.job_admission import readiness_path
from consilium.learning.model_file import load_model
from consilium.records.federation import FederationRecord, SiteReport
from consilium.records.outcome import determine_outcome
from federation.flare import JOB_ID, JOB_NAME, Engine
from federation.readiness import readiness
from federation.rehearsal import Rehearsal, Site, TwoWeights

ONE_ATTEMPT = {"attempts": 1}


class Refusing(Site):
    """Refuses in some rounds, counted from 0; None for always, the preparation too."""

    def __init__(self, rounds=None, reason="no usable labeled case: 2 left out"):
        super().__init__()
        self.rounds, self.reason = rounds, reason

    def __call__(self, task, model):
        answer = super().__call__(task, model)
        if self.rounds is None or (task != PREPARE and model.current_round in self.rounds):
            return make_reply(ReturnCode.EXECUTION_EXCEPTION, {REASON_HEADER: self.reason})
        return answer


@pytest.fixture
def run(tmp_path):
    def run(sites, *, rounds=3, min_sites=2, quorum=ONE_ATTEMPT, admission=None, abort=None):
        engine = Engine(tmp_path, {"persistor": TwoWeights()}, list(sites))
        controller = Rehearsal(rounds=rounds, min_sites=min_sites, quorum=quorum, admission=admission)
        controller.sites = sites
        controller.start_controller(engine.context)
        controller.control_flow(abort or Signal(), engine.context)
        return FederationRecord.load(engine.run_folder), engine

    return run


def panics(engine):
    return [data for event, data in engine.events if event == EventType.FATAL_SYSTEM_ERROR]


def saved(engine, name="model"):
    weights, metadata = load_model(engine.run_folder / f"{name}.safetensors")
    return float(weights["w"][0]), int(metadata["round"])


def test_every_round_moves_the_model_by_the_weighted_mean(run):
    north, south = Site(cases=1, step=1.0), Site(cases=3, step=2.0)
    record, engine = run({"north": north, "south": south})
    assert record.status == "finished"
    assert record.job == JOB_NAME
    assert saved(engine) == (pytest.approx(3 * 1.75), 3)
    asked = [(PREPARE, None), (TRAIN, 0), (TRAIN, 1.75), (TRAIN, 3.5), (VALIDATE, 5.25)]
    assert north.seen == south.seen == asked
    first = record.rounds[0].sites
    assert (first["north"].weight, first["south"].weight) == (0.25, 0.75)
    assert first["south"].update_norm == pytest.approx(np.sqrt(8))
    assert first["south"].report == SiteReport(role="trains", train_cases=3, validation_cases=1, steps=16)
    assert not panics(engine)


def test_scores_stand_with_the_model_that_they_were_made_with(run):
    record, _ = run({"north": Site(), "south": Site()})
    assert record.initial_scores["north"]["dice"] == 0
    dice = [one.scores["north"]["dice"] for one in record.rounds]
    assert dice == pytest.approx([0.1, 0.2, 0.3])
    assert [one.number for one in record.rounds] == [1, 2, 3]
    names = {f"{kind}{region}" for kind in ("dice", "hd95") for region in ("", "_tc", "_wt", "_et")}
    assert record.final_scores["north"] == dict.fromkeys(names, pytest.approx(0.3))


def test_the_best_round_is_the_one_whose_own_model_scored_best(run):
    # The untrained model looks best of all, but it is no result.
    dice = {0: 0.9, 1: 0.2, 2: 0.8, 3: 0.5}
    record, engine = run({"north": Site(dice=dice.__getitem__), "south": Site(dice=dice.__getitem__)})
    assert record.best_round == 2
    assert saved(engine, "best_model") == (2, 2)
    assert saved(engine) == (3, 3)


def test_the_final_model_can_be_the_best(run):
    record, engine = run({"north": Site(), "south": Site()})
    assert record.best_round == 3
    assert saved(engine, "best_model") == (3, 3)


class Absent(Site):
    """Is away when it should evaluate some models, each known by the value of its weights."""

    def __init__(self, away, **site):
        super().__init__(**site)
        self.away = away

    def __call__(self, task, model):
        answer = super().__call__(task, model)
        return None if self.seen[-1][1] in self.away else answer


def test_a_hard_hospital_that_is_away_does_not_make_a_round_the_best(run):
    dice = {0: 0, 1: 0.7, 2: 0.7, 3: 0.69}
    clinic = Absent([2], step=None, cases=0, dice=lambda w: dice[w] / 10)
    record, engine = run({"north": Site(dice=dice.get), "south": Site(dice=dice.get), "clinic": clinic})
    assert record.best_round == 1
    assert saved(engine, "best_model") == (1, 1)


def test_the_model_of_the_last_round_that_counted_can_be_the_best_of_a_job_that_failed(run):
    record, engine = run({"north": Site(), "south": Refusing(rounds=[2]), "east": Refusing(rounds=[2])})
    assert record.status == "failed"
    assert record.best_round == 1  # one site's scores are no comparison
    sites = {"north": Site(), "south": Site(), "east": Refusing(rounds=[2])}
    record, engine = run(sites, min_sites=3)
    assert record.status == "failed"
    assert record.best_round == 2
    assert saved(engine, "best_model") == (2, 2)


def test_scores_that_came_with_a_failed_attempt_are_kept(run):
    """In the first attempt the hospital without an update evaluates; in the second one it is away."""

    class Once(Absent):
        def __call__(self, task, model):
            answer = super().__call__(task, model)
            return None if [value for _, value in self.seen].count(1.0) == 2 else answer

    sites = {"north": Site(), "south": Recovering(0), "clinic": Once([], step=None, cases=0)}
    sites["south"].failures_at = 1
    record, _ = run(sites, rounds=2, quorum={"attempts": 2, "backoff_seconds": 0})
    assert record.rounds[1].attempts == 2
    assert record.rounds[0].scores.keys() == {"north", "south", "clinic"}


def test_of_two_sites_the_mean_of_the_differences_chooses_the_best_round(run):
    north = Site(dice=lambda w: {0: 0, 1: 0.9, 2: 0.5}[w])
    clinic = Site(step=None, cases=0, dice=lambda w: {0: 0, 1: 0.1, 2: 0.6}[w])
    record, _ = run({"north": north, "clinic": clinic}, rounds=2, min_sites=1)
    assert record.best_round == 2
    assert record.rounds[0].sites["clinic"].outcome == "evaluated"


def test_a_refusing_site_costs_the_others_nothing_and_is_asked_again(run):
    east = Refusing(rounds=[0, 1])
    record, engine = run({"north": Site(), "south": Site(), "east": east})
    assert record.status == "finished"
    outcomes = [one.sites["east"].outcome for one in record.rounds]
    assert outcomes == ["refused", "refused", "trained"]
    assert record.rounds[0].sites["east"].reason == "no usable labeled case: 2 left out"
    assert saved(engine)[0] == 3
    assert not panics(engine)


def test_a_refusal_s_kind_and_counts_are_kept_as_far_as_they_are_within_bounds(run):
    def declining(code, left_out):
        headers = {REASON_HEADER: "too many", CODE_HEADER: code, LEFT_OUT_HEADER: left_out}
        return lambda task, model: make_reply(ReturnCode.EXECUTION_EXCEPTION, headers)

    east = declining("left_out", {"truncated": 3, "not_3d": None, "x" * 999: 2})
    west = declining("<b>", {"truncated": -1})
    record, _ = run({"north": Site(), "south": Site(), "east": east, "west": west}, rounds=1)
    for one in (record.preparation, record.rounds[0].sites, record.final_sites):
        assert one["east"].code is RefusalCode.LEFT_OUT
        assert one["east"].left_out == {"truncated": 3, "not_3d": None, "other": 2}
        assert (one["west"].code, one["west"].left_out) == (RefusalCode.DECLINED, {})


def test_every_site_prepares_before_the_first_round(run):
    record, _ = run({"north": Site(), "south": Site(), "clinic": Site(step=None)}, rounds=1)
    assert {site.outcome for site in record.preparation.values()} == {"ready"}
    assert record.preparation["clinic"].report.role == "evaluates"
    assert record.preparation_seconds >= 0
    assert len(record.rounds) == 1


def test_every_task_says_which_versions_the_server_has(run):
    told = []

    class Curious(Site):
        def __call__(self, task, model):
            told.append(model.meta.get(VERSIONS_META))
            return super().__call__(task, model)

    record, _ = run({"north": Curious(), "south": Site()}, rounds=1)
    assert told == [record.versions] * 3
    assert record.versions.keys() >= {"consilium", "nvflare"}


def test_a_site_that_could_not_prepare_is_asked_again(run):
    class Late(Site):
        def __call__(self, task, model):
            if task == PREPARE:
                return make_reply(ReturnCode.EXECUTION_EXCEPTION, {REASON_HEADER: "cache too small"})
            return super().__call__(task, model)

    record, _ = run({"north": Site(), "south": Site(), "east": Late()}, rounds=1)
    assert record.preparation["east"].reason == "cache too small"
    assert record.rounds[0].sites["east"].outcome == "trained"


def test_an_update_that_nobody_asked_for_is_not_taken(run):
    class Eager(Site):
        def __call__(self, task, model):
            return super().__call__(TRAIN, model)

    record, engine = run({"north": Site(), "south": Site(), "east": Eager(step=5.0)}, rounds=1)
    assert record.preparation["east"].outcome == "refused"
    assert "nobody asked for" in record.preparation["east"].reason
    assert record.final_sites["east"].outcome == "refused"
    assert saved(engine)[0] == pytest.approx(7 / 3)


def test_too_few_sites_that_can_train_end_the_job_before_anybody_trains(run):
    north, reason = Site(), "versions do not fit: consilium 0.2.0 here and 0.1.0 there"
    record, engine = run({"north": north, "south": Refusing(reason=reason), "clinic": Site(step=None)})
    assert record.status == "failed"
    assert record.reason == (
        f"1 site can train, and min_sites is 2; clinic: it only evaluates; south: {reason}"
    )
    assert panics(engine) == [record.reason]
    assert record.rounds == []
    assert [task for task, _ in north.seen] == [PREPARE]


def test_a_job_that_demands_a_readiness_check_asks_nobody_without_one(run):
    north = Site()
    record, engine = run({"north": north, "south": Site()}, admission={"min_ready": 2})
    assert record.status == "failed"
    assert "there is no readiness check on this server; submit the job brain_tumor_check" in record.reason
    assert panics(engine) == [record.reason]
    assert north.seen == []


def test_a_job_that_demands_a_readiness_check_starts_with_one(run, tmp_path):
    ready = readiness(north="train", south="train")
    ready.save(readiness_path(Engine(tmp_path).workspace, "brain_tumor"))
    record, _ = run({"north": Site(), "south": Site()}, rounds=1, admission={"min_ready": 2})
    assert record.status == "finished"
    assert record.settings["admission"] == {"min_ready": 2}


def test_a_wrong_admission_setting_is_refused_before_anything_starts():
    with pytest.raises(ConfigurationError, match="did you mean 'min_ready'"):
        Rehearsal(rounds=1, min_sites=1, admission={"min_redy": 2})


def test_too_few_updates_end_the_job_with_every_site_s_reason(run):
    sites = {
        "north": Site(),
        "south": Refusing([0], reason="DataError: the reason is in the site's log"),
        "east": Refusing([0], reason="no usable labeled case: 2 left out"),
        "clinic": Site(step=None),
        "west": lambda task, model: None,
    }
    record, engine = run(sites)
    assert record.status == "failed"
    assert record.reason == (
        "round 1 has 1 update, and min_sites is 2; clinic: it only evaluates; "
        "east: no usable labeled case: 2 left out; south: DataError: the reason is in the site's log; "
        "west: it had not answered when the round was closed"
    )
    assert panics(engine) == [record.reason]
    assert len(record.rounds) == 1


class Recovering(Site):
    """Can't train the first few times that it is asked to."""

    def __init__(self, failures):
        super().__init__()
        self.failures, self.failures_at = failures, None

    def __call__(self, task, model):
        answer = super().__call__(task, model)
        if task == TRAIN and model.current_round == self.failures_at:
            self.failures, self.failures_at = self.failures + 1, None
        if task == TRAIN and self.failures:
            self.failures -= 1
            return make_reply(ReturnCode.EXECUTION_EXCEPTION, {REASON_HEADER: "out of memory"})
        return answer


def test_a_round_without_a_quorum_is_tried_again(run):
    north = Site()
    patience = {"attempts": 3, "backoff_seconds": 0}
    record, engine = run({"north": north, "south": Recovering(2)}, rounds=2, quorum=patience)
    assert record.status == "finished"
    assert [(one.number, one.attempts) for one in record.rounds] == [(1, 3), (2, 1)]
    assert saved(engine) == (2, 2)  # updates of failed attempts are in no model
    assert [task for task, _ in north.seen].count(TRAIN) == 4


def test_a_round_is_not_tried_for_ever(run):
    patience = {"attempts": 3, "backoff_seconds": 0}
    record, engine = run({"north": Site(), "south": Recovering(3)}, rounds=2, quorum=patience)
    assert record.status == "failed"
    assert record.reason == "round 1 has 1 update, and min_sites is 2; south: out of memory"
    assert panics(engine) == [record.reason]


def test_a_mandatory_site_is_missed(run):
    sites = {"north": Site(), "south": Site(), "east": Refusing([0], reason="out of memory")}
    record, _ = run(sites, quorum={**ONE_ATTEMPT, "mandatory_sites": ["east"]})
    assert record.reason == "round 1 has 2 updates, without mandatory east; east: out of memory"


def test_a_mandatory_site_that_can_t_train_is_missed_before_anybody_trains(run):
    sites = {"north": Site(), "south": Site(), "clinic": Site(step=None, cases=0)}
    record, _ = run(sites, quorum={**ONE_ATTEMPT, "mandatory_sites": ["clinic"]})
    assert record.rounds == []
    assert "2 sites can train, without mandatory clinic" in record.reason


def test_the_largest_hospital_s_patients_are_missed(run):
    large = Refusing([0])
    large.cases = 8
    quorum = {**ONE_ATTEMPT, "min_case_share": 0.5}
    record, _ = run({"north": Site(), "south": Site(), "large": large}, quorum=quorum)
    assert record.reason.startswith(
        "round 1 has 2 updates, with 20% of the training cases, and min_case_share is 50%; large: "
    )


class SlowRehearsal(Rehearsal):
    """Some sites answer only after their round was closed."""

    late: tuple[str, ...] = ()

    def broadcast(self, task, fl_ctx, targets=None, min_responses=1, wait_time_after_min_received=0):
        slow = self.late if task.name == TRAIN else ()
        super().broadcast(task, fl_ctx, [name for name in targets if name not in slow])
        self.standing = bool(slow)
        self.pending = [
            (task, name, self.sites[name](task.name, FLModelUtils.from_shareable(task.data))) for name in slow
        ]

    def get_num_standing_tasks(self):
        return int(self.standing)

    def cancel_all_tasks(self, *args, **options):
        self.standing = False

    def answer_late(self):
        for task, name, result in self.pending:
            client_task = ClientTask(Client(name, "token"), task)
            client_task.result = result
            self._process_result(client_task, self.fl_ctx)


@pytest.mark.parametrize(
    "rule",
    [{"deadline_minutes": 0.002}, {"grace_minutes": 0.0}, {"grace_minutes": 0.0, "deadline_minutes": 60}],
)
def test_a_round_does_not_wait_for_a_slow_site_for_ever(tmp_path, rule):
    sites = {"north": Site(), "south": Site(), "slow": Site(step=100.0)}
    engine = Engine(tmp_path, {"persistor": TwoWeights()}, list(sites))
    controller = SlowRehearsal(rounds=1, min_sites=2, quorum={**ONE_ATTEMPT, **rule})
    controller.sites, controller.late = sites, ("slow",)
    controller.start_controller(engine.context)
    controller.control_flow(Signal(), engine.context)
    record = FederationRecord.load(engine.run_folder)
    assert record.status == "finished"
    assert record.rounds[0].sites["slow"].outcome == "no answer"
    assert "when the round was closed" in record.rounds[0].sites["slow"].reason
    assert record.final_sites["slow"].outcome == "evaluated"  # it is asked again
    assert saved(engine)[0] == 1


def test_a_job_ends_at_its_deadline_and_says_how_to_go_on(tmp_path):
    sites = {"north": Site(), "south": Site(), "slow": Site(step=100.0)}
    engine = Engine(tmp_path, {"persistor": TwoWeights()}, list(sites))
    controller = SlowRehearsal(rounds=3, min_sites=2, quorum=ONE_ATTEMPT, deadline_hours=0.3 / 3600)
    controller.sites, controller.late = sites, ("slow",)
    controller.start_controller(engine.context)
    controller.control_flow(Signal(), engine.context)
    record = FederationRecord.load(engine.run_folder)
    assert record.status == "failed"
    assert record.reason.startswith("its deadline, deadline_hours of ")
    assert "passed before round 2" in record.reason
    assert f"submit it again with resume={JOB_ID}" in record.reason
    assert len(record.rounds) == 1
    assert saved(engine)[0] == 1  # the round that was done is kept


def test_an_answer_that_comes_too_late_changes_nothing(tmp_path):
    sites = {"north": Site(), "south": Site(), "slow": Site(step=100.0), "sick": Refusing([0])}
    engine = Engine(tmp_path, {"persistor": TwoWeights()}, list(sites))
    controller = SlowRehearsal(rounds=1, min_sites=2, quorum={**ONE_ATTEMPT, "grace_minutes": 0.0})
    controller.sites, controller.late = sites, ("slow", "sick")
    controller.start_controller(engine.context)
    answered = []

    def on_event(event, data):
        if event == AppEventType.ROUND_DONE and not answered:
            answered.append(controller.answer_late())

    engine.on_event = on_event
    controller.control_flow(Signal(), engine.context)
    record = FederationRecord.load(engine.run_folder)
    assert answered
    assert record.rounds[0].sites["slow"].outcome == "no answer"
    assert record.rounds[0].sites["sick"].outcome == "no answer"
    assert saved(engine)[0] == 1


def test_what_was_trained_before_a_failure_is_kept(run):
    record, engine = run({"north": Site(), "south": Refusing(rounds=[2])})
    assert record.status == "failed"
    assert record.reason.startswith("round 3 has 1 update")
    assert saved(engine) == (2, 2)
    assert record.rounds[1].scores["north"]["dice"] == pytest.approx(0.2)


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), 100.0, -0.1])
def test_scores_that_can_t_be_are_set_aside_with_the_site(run, broken):
    east = Site(step=100.0, dice=lambda w: broken)
    record, engine = run({"north": Site(), "south": Site(), "east": east})
    assert record.rounds[0].sites["east"].outcome == "refused"
    assert "its scores can't be used: dice_tc is" in record.rounds[0].sites["east"].reason
    assert "east" not in record.final_scores
    assert saved(engine)[0] == 3
    assert record.best_round == 3


@pytest.mark.parametrize(
    ("evil", "told"),
    [
        (Site(step=float("nan")), "w is not finite"),
        (Site(cases=0), "0 training cases"),
        (Site(cases=-5), "report can't be read"),
        (Site(patient="Doe-Jane"), "report can't be read"),
    ],
)
def test_an_update_or_report_that_can_t_be_used_is_left_out_with_a_reason(run, evil, told):
    record, engine = run({"north": Site(), "south": Site(), "evil": evil})
    assert record.status == "finished"
    assert record.rounds[0].sites["evil"].outcome == "refused"
    assert told in record.rounds[0].sites["evil"].reason
    assert saved(engine)[0] == 3


def test_an_update_of_another_round_is_not_taken(run):
    class Replaying(Site):
        def __call__(self, task, model):
            model.current_round = 0
            return super().__call__(task, model)

    record, engine = run({"north": Site(), "south": Site(), "east": Replaying(step=4.0)}, rounds=2)
    assert [one.sites["east"].outcome for one in record.rounds] == ["trained", "refused"]
    assert "of another round" in record.rounds[1].sites["east"].reason
    assert saved(engine)[0] == pytest.approx(2 + 1)


def test_an_aborted_job_says_so_and_asks_nobody(run):
    abort, north = Signal(), Site()
    abort.trigger(True)
    record, _ = run({"north": north, "south": Site()}, abort=abort)
    assert (record.status, record.reason) == ("failed", "aborted while the sites prepared")
    assert north.seen == []


class Aborting(Site):
    """The job is aborted while this site works on a task of a round, counted from 0."""

    def __init__(self, abort, task, index, **site):
        super().__init__(**site)
        self.abort, self.when = abort, (task, index)

    def __call__(self, task, model):
        if (task, model.current_round) == self.when:
            self.abort.trigger(True)
        return super().__call__(task, model)


@pytest.mark.parametrize(
    ("task", "index", "when", "kept"),
    [
        (PREPARE, 0, "while the sites prepared", None),
        (TRAIN, 0, "in round 1", None),
        (TRAIN, 1, "in round 2", (1, 1)),
        (TRAIN, 2, "in round 3", (2, 2)),
        (VALIDATE, 3, "in the final validation", (3, 3)),
    ],
)
@pytest.mark.parametrize("last", [True, False])
def test_an_aborted_job_is_recorded_as_aborted_and_when(run, task, index, when, kept, last):
    """Whether the site is the last that answers, or others have still to."""
    abort = Signal()
    aborting = Aborting(abort, task, index)
    sites = {"north": Site(), "east": aborting} if last else {"east": aborting, "north": Site()}
    record, engine = run(sites, abort=abort)
    assert (record.status, record.reason) == ("failed", f"aborted {when}")
    assert determine_outcome(record).kind == "failure"
    assert str(determine_outcome(record).reasons[0]) == f"aborted {when}"
    assert (record.final_scores, record.final_sites) == ({}, {})
    assert not panics(engine)
    assert (saved(engine) if kept else (engine.run_folder / "model.safetensors").exists()) == (kept or False)


@pytest.mark.parametrize(("after", "when"), [(1, "before round 2"), (3, "in the final validation")])
def test_a_job_aborted_between_two_tasks_keeps_the_round_that_counted(tmp_path, after, when):
    abort, sites = Signal(), {"north": Site(), "south": Site()}
    engine = Engine(tmp_path, {"persistor": TwoWeights()}, list(sites))
    controller = Rehearsal(rounds=3, min_sites=2, quorum=ONE_ATTEMPT)
    controller.sites, done = sites, []

    def on_event(event, data):
        if event == AppEventType.ROUND_DONE:
            done.append(event)
            if len(done) == after:
                abort.trigger(True)

    engine.on_event = on_event
    controller.start_controller(engine.context)
    controller.control_flow(abort, engine.context)
    record = FederationRecord.load(engine.run_folder)
    assert (record.status, record.reason) == ("failed", f"aborted {when}")
    assert saved(engine) == (after, after)


def test_a_job_aborted_in_the_pause_between_attempts_is_not_tried_again(run, monkeypatch):
    abort, north = Signal(), Site()
    monkeypatch.setattr(Rehearsal, "pause", lambda self, seconds: abort.trigger(True))
    record, engine = run({"north": north, "south": Recovering(5)}, quorum={"attempts": 3}, abort=abort)
    assert (record.status, record.reason) == ("failed", "aborted in round 1")
    assert [task for task, _ in north.seen] == [PREPARE, TRAIN]
    assert [event for event, _ in engine.events].count(AppEventType.ROUND_STARTED) == 1
    assert not panics(engine)


def test_a_fault_elsewhere_in_the_server_s_process_stands_in_the_record(tmp_path):
    """FLARE aborts the job when any component says that it can't continue."""
    abort = Signal()
    sites = {"north": Site(), "south": Aborting(abort, VALIDATE, 1)}
    engine = Engine(tmp_path, {"persistor": TwoWeights()}, list(sites))
    controller = Rehearsal(rounds=1, min_sites=2, quorum=ONE_ATTEMPT)
    controller.sites, engine.components["training"] = sites, controller
    engine.on_event = lambda event, data: (
        event == AppEventType.ROUND_DONE and controller.system_panic("the disk is gone", engine.context)
    )
    controller.start_controller(engine.context)
    controller.control_flow(abort, engine.context)
    assert FederationRecord.load(engine.run_folder).reason == (
        "aborted in the final validation: the disk is gone"
    )


def test_a_fault_of_the_server_s_own_ends_the_record_too(run, monkeypatch):
    def full(self, model, fl_ctx):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TwoWeights, "save_model", full)
    record, engine = run({"north": Site(), "south": Site()})
    assert record.status == "failed"
    assert record.reason == "OSError at the server; the reason is in its log"
    assert len(panics(engine)) == 1


class Leaving(Site):
    """Is lost before the final validation, or answers it without scores."""

    def __init__(self, *, answers):
        super().__init__()
        self.answers = answers

    def __call__(self, task, model):
        if task != VALIDATE:
            return super().__call__(task, model)
        if not self.answers:
            return None
        answer = FLModelUtils.from_shareable(super().__call__(task, model))
        answer.metrics = {"validation_cases": 1.0}
        return FLModelUtils.to_shareable(answer)


def test_a_final_model_that_no_site_has_evaluated_is_no_success(run):
    sites = {"north": Leaving(answers=False), "south": Leaving(answers=False)}
    record, engine = run(sites)
    assert record.status == "failed"
    assert record.reason == (
        "no site evaluated the final model; north: it had not answered when the round was closed; "
        "south: it had not answered when the round was closed"
    )
    assert panics(engine) == [record.reason]  # its checkpoints stay: it can be resumed
    assert saved(engine) == (3, 3)
    assert determine_outcome(record).kind == "failure"


def test_a_final_model_without_any_score_is_no_success(run):
    record, _ = run({"north": Leaving(answers=True), "south": Leaving(answers=True)})
    assert record.status == "finished"
    outcome = determine_outcome(record)
    assert (outcome.kind, *map(str, outcome.reasons)) == (
        "failure",
        "no hospital sent a score of the final model",
    )


def test_flare_s_own_writers_hear_of_every_round(run):
    _, engine = run({"north": Site(), "south": Site()}, rounds=2)
    names = [event for event, _ in engine.events]
    for event in (AppEventType.ROUND_STARTED, AppEventType.AFTER_AGGREGATION, AppEventType.ROUND_DONE):
        assert names.count(event) == 2


def test_flare_s_writers_get_mean_scores_of_the_round(run, monkeypatch):
    published = []

    class Listener(TwoWeights):
        def handle_event(self, event_type, fl_ctx):
            super().handle_event(event_type, fl_ctx)
            if event_type == AppEventType.AFTER_AGGREGATION:
                published.append(fl_ctx.get_prop(AppConstants.AGGREGATION_RESULT))

    monkeypatch.setitem(globals(), "TwoWeights", Listener)
    run({"north": Site(dice=lambda w: 0.2), "south": Site(dice=lambda w: 0.6)}, rounds=1)
    (aggregate,) = published
    assert aggregate.metrics["dice"] == pytest.approx(0.4)
    assert np.allclose(aggregate.params["w"], 1)


def test_the_record_is_json_that_anybody_can_read(run):
    _, engine = run({"north": Site(), "south": Site()}, rounds=1)
    content = json.loads((engine.run_folder / "federation.json").read_text())
    assert content["rounds_planned"] == 1
    assert content["settings"]["min_sites"] == 2
