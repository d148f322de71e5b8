"""What the server does with jobs that lost their processes, against a job store in memory."""

import threading

import numpy as np
import pytest
from nvflare.apis.client import Client
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, SystemConfigs
from nvflare.apis.job_def import Job, JobMetaKey, RunStatus, job_from_meta, new_job_id
from nvflare.fuel.utils.config_service import ConfigService

from consilium.federation.message_names import INTERRUPTION_META, RESUME_META
from consilium.federation.rounds.checkpoints import CHECKPOINTS
from consilium.federation.server import continuation as module
from consilium.federation.server.continuation import JobContinuation
from consilium.learning.checkpoints import CheckpointStore
from federation.flare import Engine
from waiting import wait_until

DEADLINE_SECONDS = 20


class Store:
    """FLARE's job manager as far as it is asked here."""

    def __init__(self):
        self.metas = {}
        self.archived = {}

    def add(self, status, **meta):
        job_id = new_job_id()
        self.metas[job_id] = {
            JobMetaKey.JOB_ID.value: job_id,
            JobMetaKey.STATUS.value: status.value,
            JobMetaKey.JOB_NAME.value: "brain_tumor_fedavg",
            JobMetaKey.DEPLOY_MAP.value: {"app": ["@ALL"]},
            JobMetaKey.MIN_CLIENTS.value: 2,
            JobMetaKey.SUBMITTER_NAME.value: "lead",
            "schedule_count": 3,
            **meta,
        }
        return job_id

    def get_all_jobs(self, fl_ctx):
        return [job_from_meta(dict(meta)) for meta in self.metas.values()]

    def get_job(self, job_id, fl_ctx):
        return job_from_meta(dict(self.metas[job_id])) if job_id in self.metas else None

    def update_meta(self, job_id, meta, fl_ctx):
        self.metas[job_id].update(meta)

    def set_status(self, job_id, status, fl_ctx):
        self.metas[job_id][JobMetaKey.STATUS.value] = status.value

    def save_workspace(self, job_id, folders, fl_ctx):
        self.archived[job_id] = folders

    def clone(self, from_jid, meta, fl_ctx):
        job_id = self.add(RunStatus.SUBMITTED)
        self.metas[job_id] = {**meta, JobMetaKey.JOB_ID.value: job_id, JobMetaKey.STATUS.value: "SUBMITTED"}
        return self.metas[job_id]

    def status(self, job_id):
        return self.metas[job_id][JobMetaKey.STATUS.value]


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def server(tmp_path, store, monkeypatch):
    monkeypatch.setitem(
        ConfigService._sections, SystemConfigs.RESOURCES_CONF, {CHECKPOINTS: {"folder": "kept"}}
    )
    monkeypatch.setattr(ConfigService, "_var_values", {})
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_LOOKS", 0.05)
    continuation = JobContinuation()
    engine = Engine(tmp_path, {"job_manager": store, "continuation": continuation}, ["aster", "birch"])
    engine.components = {"job_manager": store}  # only ours hears of events
    yield Server(engine, continuation)
    continuation.handle_event(EventType.SYSTEM_END, engine.new_context())


class Server:
    def __init__(self, engine, continuation):
        self.engine, self.continuation = engine, continuation

    def start(self):
        self.continuation.handle_event(EventType.SYSTEM_START, self.engine.new_context())

    def end_job(self, job_id):
        context = self.engine.new_context()
        context.set_prop(FLContextKey.EVENT_DATA, {JobMetaKey.JOB_ID.value: job_id}, private=True)
        self.continuation.handle_event(EventType.JOB_COMPLETED, context)


def keep_rounds(tmp_path, job_id, *numbers, sites=()):
    state = {"record": {"rounds": [{"sites": {site: {} for site in sites}}]}}
    for number in numbers:
        CheckpointStore(tmp_path / "kept" / job_id).save(number, {"model": {"w": np.zeros(1)}}, state)


def successor(store, job_id):
    """Return the job that continues another one, once there is one."""
    return wait_until(
        lambda: store.metas[job_id].get(INTERRUPTION_META, {}).get("continued_by"), "it is continued"
    )


def test_a_job_that_ran_when_the_server_died_is_continued(server, store, tmp_path):
    old = store.add(RunStatus.RUNNING)
    keep_rounds(tmp_path, old, 1, 2)
    server.start()
    new = successor(store, old)
    assert store.status(old) == RunStatus.FINISHED_ABNORMAL.value
    assert store.metas[old][INTERRUPTION_META] == {
        "reason": "the server stopped while the job ran",
        "code": "interrupted",
        "durable_round": 2,
        "continued_by": new,
    }
    assert store.status(new) == "SUBMITTED"
    assert store.metas[new][RESUME_META] == store.metas[new][JobMetaKey.CLONED_FROM.value] == old
    assert store.metas[new][JobMetaKey.SUBMITTER_NAME.value] == "lead"
    assert "schedule_count" not in store.metas[new]


@pytest.mark.parametrize("patience", [DEADLINE_SECONDS, 0.0], ids=["it comes back", "it doesn't"])
def test_a_job_waits_a_while_for_a_site_of_its_last_round(server, store, tmp_path, monkeypatch, patience):
    monkeypatch.setattr(module, "_RETURN_SECONDS", patience)
    looks = threading.Event()

    def get_clients():
        looks.set()
        return [Client(name, name) for name in connected]

    connected = ["aster", "birch"]  # as many as the job needs
    monkeypatch.setattr(server.engine, "get_clients", get_clients)
    old = store.add(RunStatus.RUNNING)
    keep_rounds(tmp_path, old, 1, sites=("aster", "birch", "cedar"))
    server.start()
    if patience:
        assert looks.wait(DEADLINE_SECONDS)
        looks.clear()
        assert looks.wait(DEADLINE_SECONDS)  # it has looked once, and waits
        assert store.metas[old][INTERRUPTION_META]["continued_by"] is None
        connected.append("cedar")
    assert store.status(successor(store, old)) == "SUBMITTED"


def test_a_job_without_a_durable_round_starts_where_it_started(server, store, tmp_path):
    first = store.add(RunStatus.DISPATCHED)
    resumed = store.add(RunStatus.RUNNING, **{RESUME_META: new_job_id()})
    server.start()
    assert RESUME_META not in store.metas[successor(store, first)]
    assert store.metas[successor(store, resumed)][RESUME_META] == store.metas[resumed][RESUME_META]


@pytest.mark.parametrize(
    "status", [RunStatus.SUBMITTED, RunStatus.FINISHED_COMPLETED, RunStatus.FINISHED_ABORTED]
)
def test_a_job_that_did_not_run_is_left_alone(server, store, status):
    job = store.add(status)
    server.start()
    assert store.status(job) == status.value
    assert INTERRUPTION_META not in store.metas[job]


def test_it_waits_until_enough_sites_are_back_also_over_another_restart(server, store, tmp_path):
    old = store.add(RunStatus.RUNNING)
    clients, server.engine.clients = server.engine.clients, []
    server.start()
    assert store.status(old) == RunStatus.FINISHED_ABNORMAL.value
    again = Server(server.engine, JobContinuation())
    server.continuation.handle_event(EventType.SYSTEM_END, server.engine.new_context())
    again.start()
    assert store.metas[old][INTERRUPTION_META]["continued_by"] is None
    server.engine.clients = clients
    try:
        assert store.status(successor(store, old)) == "SUBMITTED"
    finally:
        again.continuation.handle_event(EventType.SYSTEM_END, server.engine.new_context())


def test_what_the_job_had_written_can_be_downloaded(server, store, tmp_path):
    old = store.add(RunStatus.RUNNING)
    folder = tmp_path / old
    folder.mkdir()
    (folder / "log.txt").write_text("round 2")
    server.start()
    assert store.archived == {old: [str(folder)]}
    assert not folder.exists()


def test_a_job_whose_own_process_was_killed_is_continued(server, store, tmp_path):
    server.start()
    old = store.add(RunStatus.FINISHED_ABNORMAL)
    server.end_job(old)
    assert store.metas[old][INTERRUPTION_META]["reason"] == "the job's process at the server was killed"
    assert store.status(successor(store, old)) == "SUBMITTED"


@pytest.mark.parametrize("status", [RunStatus.FINISHED_EXECUTION_EXCEPTION, RunStatus.FINISHED_ABORTED])
def test_a_job_that_failed_or_was_aborted_keeps_its_rounds_for_a_resumption_by_hand(
    server, store, tmp_path, status
):
    server.start()
    job = store.add(status)
    keep_rounds(tmp_path, job, 3)
    server.end_job(job)
    assert INTERRUPTION_META not in store.metas[job]
    assert CheckpointStore(tmp_path / "kept" / job).numbers() == [3]


def test_the_rounds_of_a_completed_job_are_removed_with_those_it_went_on_from(server, store, tmp_path):
    server.start()
    interruption = {"reason": "", "durable_round": 1, "continued_by": "somebody"}
    first = store.add(RunStatus.FINISHED_ABNORMAL, **{INTERRUPTION_META: interruption})
    other = store.add(RunStatus.FINISHED_ABORTED)
    last = store.add(RunStatus.FINISHED_COMPLETED, **{RESUME_META: first})
    for job in (first, other, last):
        keep_rounds(tmp_path, job, 1)
    server.end_job(last)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [other]


def test_a_job_that_dies_again_and_again_in_one_round_is_left_to_a_person(server, store, tmp_path):
    jobs = [store.add(RunStatus.RUNNING)]
    keep_rounds(tmp_path, jobs[0], 2)
    server.start()
    for _ in range(4):
        jobs.append(successor(store, jobs[-1]))
        keep_rounds(tmp_path, jobs[-1], 2)
        store.set_status(jobs[-1], RunStatus.FINISHED_ABNORMAL, None)
        server.end_job(jobs[-1])
    last = store.metas[jobs[-1]][INTERRUPTION_META]
    assert last["continued_by"] == "nobody"
    assert f"resume {jobs[-1]}" in last["reason"]


def test_a_server_without_a_place_for_rounds_still_restarts_a_job(server, store, monkeypatch):
    monkeypatch.setitem(ConfigService._sections, SystemConfigs.RESOURCES_CONF, {})
    old = store.add(RunStatus.RUNNING)
    server.start()
    assert RESUME_META not in store.metas[successor(store, old)]


def test_a_job_that_can_t_be_continued_keeps_no_other_from_it(server, store, monkeypatch):
    damaged, whole = store.add(RunStatus.RUNNING), store.add(RunStatus.RUNNING)
    clone = store.clone

    def fail(from_jid, meta, fl_ctx):
        if from_jid == damaged:
            raise OSError("its folder can't be read")
        return clone(from_jid, meta, fl_ctx)

    monkeypatch.setattr(store, "clone", fail)
    server.start()
    assert store.status(successor(store, whole)) == "SUBMITTED"
    monkeypatch.setattr(store, "clone", clone)
    assert store.status(successor(store, damaged)) == "SUBMITTED"  # it is tried again


def test_a_job_is_cloned_once_though_the_store_can_t_note_it(server, store, monkeypatch):
    old, fails, written = store.add(RunStatus.RUNNING), threading.Event(), store.update_meta

    def fail(job_id, meta, fl_ctx):
        if job_id == old and meta.get(INTERRUPTION_META, {}).get("continued_by") and not fails.is_set():
            fails.set()
            raise OSError("the disk is full")
        written(job_id, meta, fl_ctx)

    monkeypatch.setattr(store, "update_meta", fail)
    server.start()
    assert fails.wait(DEADLINE_SECONDS)
    new = successor(store, old)
    assert store.metas.keys() == {old, new}


def test_jobs_are_flare_s(store):
    assert isinstance(store.get_job(store.add(RunStatus.RUNNING), None), Job)
