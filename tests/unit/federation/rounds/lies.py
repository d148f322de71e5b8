"""A site that puts a value at one place of its answers, in a job with two honest sites."""

import shutil
from contextlib import suppress

import numpy as np
import pytest
from anything import shows_no_control
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLMetaKey
from nvflare.apis.shareable import ReservedHeaderKey, ReturnCode
from nvflare.apis.signal import Signal
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.widgets.metrics_artifact_writer import MetricsArtifactWriter

from consilium.federation.message_names import REASON_HEADER, REPORT_META, TRAIN
from consilium.federation.monitoring.curves import ScoreCurves
from consilium.federation.monitoring.progress import ProgressReceiver
from consilium.federation.monitoring.published_metrics import JobMetrics
from consilium.learning.model_file import load_model
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


def run_with(folder, liar):
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
    engine = run_with(folder, Liar(place, value, tasks))
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
