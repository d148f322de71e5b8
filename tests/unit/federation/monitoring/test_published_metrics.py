"""The metrics of a job, read from the wire by a socket that plays the StatsD daemon."""

import json
import re
import socket
from collections import defaultdict
from pathlib import Path

import pytest
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import ReservedTopic, ReturnCode, SystemConfigs
from nvflare.apis.shareable import make_reply
from nvflare.apis.signal import Signal
from nvflare.fuel.data_event.data_bus import DataBus
from nvflare.fuel.utils.class_loader import load_class
from nvflare.fuel.utils.config_service import ConfigService

from consilium.federation.message_names import REASON_HEADER, TRAIN
from consilium.federation.monitoring.published_metrics import METRICS, PREFIX, SITE_METRICS, JobMetrics
from consilium.federation.rounds.checkpoints import CHECKPOINTS
from consilium.federation.site.journal import SiteJournal
from consilium.provisioning.policy import MetricsTarget, metrics_reporter
from federation.flare import JOB_NAME, Engine
from federation.rehearsal import Rehearsal, Site, TwoWeights

DASHBOARD = Path(__file__).parents[4] / "provision/monitoring/dashboard.json"
JOB = "64e0768a-8b1b-4485-b631-356669f074e3"
SITES = ("north", "south", "west")


class Daemon:
    """Takes StatsD datagrams, as Prometheus' statsd_exporter does: DogStatsD's with tags."""

    def __init__(self):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]

    def read(self):
        """Return what has come: name -> (value, kind, tags), in order. On one machine, sent is received."""
        metrics = defaultdict(list)
        while True:
            try:
                lines = self._socket.recv(65_535).decode().split()
            except BlockingIOError:
                return dict(metrics)
            for line in lines:
                if line.startswith(PREFIX):
                    value, kind, tags = line.split("|")
                    name, _, number = value.partition(":")
                    pairs = dict(tag.split(":", 1) for tag in tags.removeprefix("#").split(","))
                    metrics[name].append((float(number), kind, pairs))

    def close(self):
        self._socket.close()


@pytest.fixture
def daemon():
    """The server's side as its `local/` files ask for it: FLARE's reporter, sending to this daemon."""
    pytest.importorskip("datadog", reason="datadog is not installed: make install")
    daemon = Daemon()
    component = metrics_reporter(MetricsTarget(host="127.0.0.1", port=daemon.port))
    reporter = load_class(component["path"])(**component["args"])
    yield daemon
    DataBus().unsubscribe(ReservedTopic.APP_METRICS, reporter.process_metrics)
    daemon.close()


class Faltering(Site):
    """Refuses to train in one round, and answers nothing in another."""

    def __call__(self, task, model):
        if task == TRAIN and model.current_round == 0:
            return make_reply(ReturnCode.EXECUTION_EXCEPTION, {REASON_HEADER: "no usable labeled case"})
        if task == TRAIN and model.current_round == 1:
            return None
        return super().__call__(task, model)


@pytest.fixture
def exported(daemon, tmp_path, monkeypatch):
    """What a job of three rounds exports."""
    resources = {CHECKPOINTS: {"folder": "kept"}}
    monkeypatch.setitem(ConfigService._sections, SystemConfigs.RESOURCES_CONF, resources)
    monkeypatch.setattr(ConfigService, "_var_values", {})
    components = {"persistor": TwoWeights(), "monitoring": JobMetrics()}
    engine = Engine(tmp_path, components, SITES, job_id=JOB)
    controller = Rehearsal(rounds=3, min_sites=2)
    controller.sites = {
        "north": Site(task_seconds=4.5, bytes_sent=10, bytes_received=20),
        "south": Site(),
        "west": Faltering(),
    }
    engine.fire_event(EventType.START_RUN, engine.context)
    controller.start_controller(engine.context)
    controller.control_flow(Signal(), engine.context)
    engine.fire_event(EventType.END_RUN, engine.context)
    return daemon.read()


def test_every_metric_is_exported_as_the_kind_that_it_is_and_no_other(exported):
    assert exported.keys() == {f"{PREFIX}_{name}" for name in METRICS}
    for name, metric in METRICS.items():
        kinds = {kind for _, kind, _ in exported[f"{PREFIX}_{name}"]}
        assert kinds == {"c" if metric.kind == "counter" else "g"}


def test_each_value_says_of_which_job_it_is(exported):
    for values in exported.values():
        assert all((tags["job_name"], tags["job_id"]) == (JOB_NAME, JOB) for _, _, tags in values)


def test_rounds_and_checkpoints_are_followed(exported):
    numbers = [value for value, _, _ in exported["consilium_round_number"]]
    assert numbers == [1, 2, 3]
    assert sum(value for value, _, _ in exported["consilium_rounds_done"]) == 3
    assert exported["consilium_checkpoint_round"][-1][0] == 3
    assert all(value > 0 for value, _, _ in exported["consilium_checkpoint_seconds"])
    assert [value for value, _, _ in exported["consilium_running"]] == [1, 0]


def test_refusals_and_absences_are_those_of_the_site(exported):
    for name in ("consilium_refusals", "consilium_absences"):
        ((value, _, tags),) = exported[name]
        assert (value, tags["site"], tags["task"]) == (1, "west", TRAIN)


def test_a_site_s_own_numbers_are_what_it_reported(exported):
    for name, wanted in (("site_task_seconds", 4.5), ("site_bytes_sent", 10), ("site_bytes_received", 20)):
        values = {value for value, _, tags in exported[f"{PREFIX}_{name}"] if tags["site"] == "north"}
        assert values == {wanted}


def test_the_sites_of_a_task_are_counted_by_what_became_of_them(exported):
    last = {tags["state"]: value for value, _, tags in exported["consilium_sites"]}
    assert last == {"asked": 0, "answered": 3, "refused": 0, "no_answer": 0}


def test_the_dashboard_shows_only_what_is_exported_and_all_that_a_round_has(exported):
    dashboard = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    queries += [str(one["query"]) for one in dashboard["templating"]["list"]]
    shown = set(re.findall(rf"{PREFIX}_\w+", " ".join(queries)))
    assert shown == exported.keys()
    tags = {tag for values in exported.values() for _, _, pairs in values for tag in pairs}
    for query in queries:
        assert set(re.findall(r"by \((\w+)\)", query)) <= tags


def test_without_a_reporter_nothing_is_sent(tmp_path):
    engine = Engine(tmp_path, {"monitoring": JobMetrics()})
    assert not DataBus().subscribers.get(ReservedTopic.APP_METRICS)
    engine.fire_event(EventType.START_RUN, engine.context)


def test_a_hospital_that_names_a_reporter_of_its_own_sees_its_own_part(daemon, tmp_path):
    journal = SiteJournal()
    journal.begin(Engine(tmp_path).context)
    journal.note_refusal("server", "its update is rejected")
    journal.end()
    exported = daemon.read()
    assert exported.keys() <= {f"{PREFIX}_{name}" for name in SITE_METRICS}
    assert [value for value, _, _ in exported["consilium_own_running"]] == [1, 0]
    ((value, _, tags),) = exported["consilium_own_refusals"]
    assert (value, tags["by"]) == (1, "server")
