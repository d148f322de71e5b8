"""One site sends anything at every place of its answers: the others never notice, and it is excluded."""

import shutil
from contextlib import suppress

import numpy as np
import pytest
from anything import ANYTHING, ARRAYS, NUMBERS, TEXTS, shows_no_control
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, FLMetaKey
from nvflare.apis.shareable import ReservedHeaderKey, ReturnCode, Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.widgets.metrics_artifact_writer import MetricsArtifactWriter

from consilium.federation.algorithms import server_algorithm
from consilium.federation.algorithms.base import AlgorithmJob
from consilium.federation.exchange.answer_form import Absence
from consilium.federation.message_names import (
    LOCAL_ONLY,
    PREPARE,
    REASON_HEADER,
    REPORT_META,
    TRAIN,
    VALIDATE,
)
from consilium.federation.monitoring.curves import ScoreCurves
from consilium.federation.monitoring.job_events import ANSWER_REFUSED
from consilium.federation.monitoring.progress import ProgressReceiver
from consilium.federation.monitoring.published_metrics import JobMetrics
from consilium.federation.transport.message_checks import BROKEN_ANSWER
from consilium.federation.updates.aggregator import Aggregate
from consilium.federation.updates.screening import Screening, ScreeningSettings
from consilium.learning.algorithms import parse_algorithm
from consilium.learning.model_file import load_model
from consilium.learning.weights import MODEL
from consilium.records.federation import FederationRecord, SiteReport
from consilium.records.gain import SiteGain
from consilium.records.job_record import load_record
from consilium.records.job_status import JobStatus
from consilium.records.outcome import determine_outcome
from consilium.records.progress import read_progress
from consilium.report.status.job import render_job
from consilium.report.terminal import Terminal
from consilium.report.training.page import render_page
from consilium.report.training.summary import summarize_study
from consilium.tasks.brain_tumor.task import BrainTumorSettings
from federation.flare import Engine
from federation.rehearsal import Rehearsal, Site, TwoWeights

ROUNDS = 4
HONEST = ("north", "south")


def in_report(field):
    def lie(answer, value):
        answer["DXO"]["meta"][REPORT_META][field] = value

    return lie


def in_gain(*path):
    def lie(answer, value):
        content = answer["DXO"]["meta"][REPORT_META]["gain"]
        for name in path[:-1]:
            content = content[name]
        content[path[-1]] = value

    return lie


def in_metrics(name):
    def lie(answer, value):
        answer["DXO"]["meta"][FLMetaKey.INITIAL_METRICS][name] = value

    return lie


def in_params(name):
    def lie(answer, value):
        answer["DXO"]["data"][name] = value

    return lie


def in_dxo(*path):
    def lie(answer, value):
        content = answer["DXO"]
        for name in path[:-1]:
            content = content[name]
        content[path[-1]] = value

    return lie


def in_header(name):
    return lambda answer, value: answer.set_header(name, value)


def instead_of_headers(answer, value):
    answer[ReservedHeaderKey.HEADERS] = value


def refusal(name):
    def lie(answer, value):
        answer.set_header(ReservedHeaderKey.RC, ReturnCode.EXECUTION_EXCEPTION)
        answer.set_header(name, value)

    return lie


def metric_of_its_own(answer, value):
    answer["DXO"]["meta"][FLMetaKey.INITIAL_METRICS][value if isinstance(value, str) else "x"] = 0.5


def weight_of_its_own(answer, value):
    answer["DXO"]["data"][value if isinstance(value, str) else "x"] = np.ones(2)


PLACES = {
    **{f"report {field}": in_report(field) for field in (*SiteReport.model_fields, "note")},
    **{f"gain {name}": in_gain(name) for name in (*SiteGain.model_fields, "note")},
    **{f"gain of dice {name}": in_gain("gains", "dice", name) for name in ("mean", "low", "high", "note")},
    "a score of its own model": in_gain("local", "dice"),
    **{f"metrics {name}": in_metrics(name) for name in ("dice", "dice_tc", "validation_cases")},
    **{f"params {name}": in_params(name) for name in ("w", "mark")},
    **{f"dxo {name}": in_dxo(name) for name in ("kind", "data", "meta")},
    "the report": in_dxo("meta", REPORT_META),
    "the metrics": in_dxo("meta", FLMetaKey.INITIAL_METRICS),
    "another metric": metric_of_its_own,
    "another weight": weight_of_its_own,
    "client_name": in_dxo("meta", "client_name"),
    "the name of the site": in_header(FLMetaKey.SITE_NAME),
    "its round": in_header(AppConstants.CURRENT_ROUND),
    "its rounds": in_header(AppConstants.NUM_ROUNDS),
    "what it validates": in_header(AppConstants.VALIDATE_TYPE),
    "the model that it submits": in_header(AppConstants.SUBMIT_MODEL_NAME),
    "the kind of content": in_header(ReservedHeaderKey.CONTENT_TYPE),
    "the return code": in_header(ReservedHeaderKey.RC),
    "the reason": refusal(REASON_HEADER),
    "all headers": instead_of_headers,
    "the whole DXO": lambda answer, value: answer.__setitem__("DXO", value),
}


class Liar(Site):
    """Puts a value at one place of its answers to some tasks."""

    def __init__(self, place, value, tasks):
        super().__init__()
        self.place, self.value, self.tasks = place, value, tasks

    def __call__(self, task, model):
        answer = super().__call__(task, model)
        if task in self.tasks:
            if self.place == "the whole answer":
                return "nothing" if self.value is None else self.value  # None: it never answers
            with suppress(KeyError):  # this task's answer has no such place
                PLACES[self.place](answer, self.value)
        return answer


def run(folder, liar):
    shutil.rmtree(folder, ignore_errors=True)
    parts = {
        "persistor": TwoWeights(),
        "progress": ProgressReceiver(),
        "monitoring": JobMetrics(),
        "metrics": MetricsArtifactWriter(),
        "tensorboard": ScoreCurves(),
    }
    engine = Engine(folder, parts, ("liar", *HONEST))
    controller = Rehearsal(rounds=ROUNDS, min_sites=2, quorum={"attempts": 1}, local_only=True)
    controller.sites = {"liar": liar, **{site: Site() for site in HONEST}}
    engine.components["training"] = controller
    engine.fire_event(EventType.START_RUN, engine.context)
    controller.start_controller(engine.context)
    controller.control_flow(Signal(), engine.context)
    engine.fire_event(EventType.END_WORKFLOW, engine.context)
    engine.fire_event(EventType.END_RUN, engine.context)
    return engine


def shown(engine, record):
    """All that people are shown of the job."""
    job = JobStatus(
        job_id="64e0768a", name=record.job, status="RUNNING", progress=read_progress(engine.run_folder)
    )
    console = Terminal(width=100, force_terminal=False)
    with console.capture() as captured:
        console.print(render_job(job))
    report = summarize_study(record, baselines=None, seconds={})
    page = render_page(report, curves=b"", dark_curves=b"", patients={})
    return captured.get(), page, report.to_json()


def check(folder, place, value, tasks=(TRAIN,)):
    engine = run(folder, Liar(place, value, tasks))
    record = FederationRecord.load(engine.run_folder)
    assert load_record(engine.run_folder) == record
    assert record.status == "finished"
    assert [record.gains[site].local["dice"] for site in HONEST] == [0.25, 0.25]
    for one in record.rounds:
        assert [one.sites[site].outcome for site in HONEST] == ["trained", "trained"]
        assert sum(part.weight for part in one.sites.values()) == pytest.approx(1)
        assert one.sites["liar"].weight <= 0.5 + 1e-9
    weights, _ = load_model(engine.run_folder / "model.safetensors")
    assert {name: value.dtype for name, value in weights.items()} == {"w": np.float64, "mark": np.float64}
    assert np.isfinite(weights["w"]).all()
    for file in engine.run_folder.rglob("*"):
        assert file.is_dir() or file.stat().st_size < 100_000, file
    status, page, numbers = shown(engine, record)
    assert shows_no_control(status)
    assert all(shows_no_control(text) for text in (page.replace("\t", " "), numbers))
    assert determine_outcome(record).kind in ("success", "partial")
    outcomes = [one.sites["liar"].outcome for one in record.rounds]
    assert "no answer" not in outcomes
    reasons = [one.sites["liar"].reason or "" for one in record.rounds]
    assert all(reason.isprintable() and len(reason) < 600 for reason in reasons)
    return record, outcomes


@settings(max_examples=examples(16), deadline=None)
@given(place=st.sampled_from([*PLACES, "the whole answer"]), value=ANYTHING | NUMBERS | TEXTS | ARRAYS)
def test_whatever_a_site_answers_costs_nobody_else_anything(tmp_path_factory, place, value):
    _, outcomes = check(tmp_path_factory.getbasetemp() / "anything", place, value)
    if outcomes[:3] == ["refused"] * 3 and place not in ("the reason", "the return code"):
        assert outcomes[3] == "excluded"  # what a site declines itself isn't counted


@settings(max_examples=examples(6), deadline=None)
@given(place=st.sampled_from(list(PLACES)), value=ANYTHING | NUMBERS | TEXTS)
def test_whatever_a_site_answers_from_the_start(tmp_path_factory, place, value):
    check(tmp_path_factory.getbasetemp() / "anything", place, value, (PREPARE, TRAIN, VALIDATE))


@settings(max_examples=examples(12), deadline=None)
@given(place=st.sampled_from(list(PLACES)), value=ANYTHING | NUMBERS | TEXTS)
def test_whatever_a_site_says_of_its_own_model(tmp_path_factory, place, value):
    record, _ = check(tmp_path_factory.getbasetemp() / "anything", place, value, (LOCAL_ONLY,))
    assert record.local_only["liar"].outcome in ("evaluated", "refused")


REFUSED = [
    ("report train_cases", 10**15, "wrong is train_cases"),
    ("report train_cases", True, "wrong is train_cases"),
    ("report task_seconds", float("inf"), "wrong is task_seconds"),
    ("report steps", float("nan"), "wrong is steps"),
    ("report loss", np.zeros(3), "wrong is loss"),
    ("report left_out", {f"code{index}": 1 for index in range(5000)}, "wrong is left_out"),
    ("report versions", {f"name{index}": "1" for index in range(5000)}, "wrong is versions"),
    ("report note", "\x1b[2J", "wrong is an unknown field"),
    ("metrics dice_tc", 100.0, "dice_tc is 100; it lies between 0 and 1"),
    ("metrics dice_tc", [0.5], "dice_tc is no number"),
    ("another metric", "other", "0 of 3 scores are missing and 1 are unknown"),
    ("the metrics", {"dice": 0.5}, "3 of 3 scores are missing"),
    ("the metrics", {f"x{index}": 0.5 for index in range(5000)}, "it sent 5000 scores"),
    ("the metrics", [0.5], "its answer can't be read"),
    ("params w", np.ones(2, np.float32), "w holds float32 values, not float64"),
    ("params w", np.ones(2, ">f8"), "w holds >f8 values, not float64"),
    ("params w", np.ones(()), "w has shape (), not (2,)"),
    ("params w", np.array(["a", None], dtype=object), "something else than arrays of numbers"),
    ("params w", [1.0, 1.0], "something else than arrays of numbers"),
    ("params w", np.full(2, 1e200), "too large to add up"),
    ("another weight", "x" * 100_000, "not arrays by name"),
    ("dxo data", {}, "not arrays by name"),
    ("dxo kind", "WEIGHTS", "it sent weights, and not the difference"),
    ("dxo kind", "COLLECTION", "it sent weights, and not the difference"),
    ("dxo kind", ["x"], "its answer can't be read"),
    ("dxo meta", {}, "it has no report"),
    ("dxo meta", None, "it has no report"),
    ("the whole DXO", None, "its answer can't be read"),
    ("the whole answer", Shareable(), "its answer can't be read"),
    ("the whole answer", [1], "no message of FLARE's"),
    ("all headers", [1], "it has no headers"),
    ("its round", "1", "its answer can't be read"),
    ("its round", 7, "of another round"),
    ("the return code", "NONSENSE", "a return code that FLARE doesn't know"),
    ("the return code", ["x"], "a return code that FLARE doesn't know"),
]


@pytest.mark.parametrize(("place", "value", "told"), REFUSED)
def test_what_is_wrong_is_refused_with_a_reason_and_its_site_excluded(tmp_path, place, value, told):
    record, outcomes = check(tmp_path, place, value)
    assert outcomes == ["refused"] * 3 + ["excluded"]
    assert told in record.rounds[0].sites["liar"].reason
    weights, _ = load_model(tmp_path / "a-job" / "model.safetensors")
    assert weights["w"] == pytest.approx(ROUNDS)


def test_a_reason_of_a_site_is_cleaned_and_shortened_and_not_counted(tmp_path):
    record, outcomes = check(tmp_path, "the reason", "no\x1b[2J\n" + "x" * 100_000)
    assert outcomes == ["refused"] * 4
    reason = record.rounds[0].sites["liar"].reason
    assert reason.startswith("no[2J xxx")
    assert len(reason) == 400


def test_a_site_that_says_who_it_is_stays_who_it_is(tmp_path):
    record, outcomes = check(tmp_path, "client_name", "north")
    assert outcomes == ["trained"] * 4
    assert record.rounds[0].scores.keys() == {"liar", *HONEST}
    assert (tmp_path / "a-job/tb_events/liar").is_dir()


def test_a_site_that_keeps_its_scores_to_itself_takes_part(tmp_path):
    record, outcomes = check(tmp_path, "the metrics", {})
    assert outcomes == ["trained"] * 4
    assert record.rounds[0].scores.keys() == set(HONEST)


def test_the_largest_possible_claim_gets_half_of_the_mean(tmp_path):
    record, outcomes = check(tmp_path, "report train_cases", 10**6, (PREPARE, TRAIN))
    assert outcomes == ["trained"] * 4
    assert [one.sites["liar"].weight for one in record.rounds] == [0.5] * 4
    warnings = summarize_study(record, baselines=None, seconds={}).warnings
    assert any(
        one.startswith("liar says that it has up to 100% of the training cases in every round; its share was")
        for one in warnings
    )


def test_a_wrong_answer_of_the_preparation_counts_as_well(tmp_path):
    record, outcomes = check(tmp_path, "report train_cases", 10**15, (PREPARE, TRAIN))
    assert record.preparation["liar"].outcome == "refused"
    assert outcomes == ["refused", "refused", "excluded", "excluded"]


class Breaking(Site):
    """Sends what is no message of FLARE's: nothing of it reaches the controller but that it came."""

    def __call__(self, task, model):
        answer = super().__call__(task, model)
        if task != TRAIN:
            return answer
        context = self.engine.new_context()
        said = {"site": "liar", "reason": "its answer can't be read: it has no headers"}
        context.set_prop(FLContextKey.EVENT_DATA, said, private=True, sticky=False)
        self.engine.fire_event(BROKEN_ANSWER, context)
        self.engine.fire_event(BROKEN_ANSWER, context)  # counts once for each time that it was asked
        return None


def test_an_answer_that_is_no_message_is_refused_and_counted_once(tmp_path):
    liar = Breaking()
    engine = Engine(tmp_path, {"persistor": TwoWeights()}, ("liar", *HONEST))
    controller = Rehearsal(rounds=ROUNDS, min_sites=2, quorum={"attempts": 1}, local_only=True)
    controller.sites = {"liar": liar, **{site: Site() for site in HONEST}}
    liar.engine, engine.components["training"] = engine, controller
    controller.start_controller(engine.context)
    controller.control_flow(Signal(), engine.context)
    record = FederationRecord.load(engine.run_folder)
    assert [one.sites["liar"].outcome for one in record.rounds] == ["refused"] * 3 + ["excluded"]
    assert record.rounds[0].sites["liar"].reason == "its answer can't be read: it has no headers"


def test_a_step_never_changes_the_type_of_the_model_s_numbers():
    weights = {"w": np.zeros(2, np.float32), "count": np.zeros((), np.int64)}
    change = {"w": np.ones(2, np.float64), "count": np.ones((), np.float64)}
    learning = BrainTumorSettings()
    job = AlgorithmJob(learning, 1, {}, Screening(ScreeningSettings(), learning, 1))
    algorithm = server_algorithm(parse_algorithm({"name": "fedavg"}), job)
    stepped = algorithm.step(weights, Aggregate({MODEL: change}, {}))
    assert {name: (one.dtype, one.shape) for name, one in stepped.items()} == {
        "w": (np.float32, (2,)),
        "count": (np.int64, ()),
    }


@pytest.mark.parametrize("reason", ["no\x1b[2J\nforged", "x" * 100_000])
def test_whoever_hears_of_a_refusal_hears_a_clean_and_short_reason(tmp_path, caplog, reason):
    engine = Engine(tmp_path, {"persistor": TwoWeights()}, HONEST)
    controller = Rehearsal(rounds=1, min_sites=1)
    controller.start_controller(engine.context)
    with caplog.at_level("WARNING"):
        assert controller.set_aside("north", Absence(reason)) is False
    ((_, heard),) = [event for event in engine.events if event[0] == ANSWER_REFUSED]
    assert heard["reason"].isprintable()
    assert len(heard["reason"]) <= 400
    assert all(record.getMessage().isprintable() for record in caplog.records)
