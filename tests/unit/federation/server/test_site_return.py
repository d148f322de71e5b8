"""Which sites are brought back into a running job, by heartbeats as FLARE's sites send them."""

from types import SimpleNamespace

import pytest
from anything import ANYTHING
from effort import examples
from hypothesis import given, settings
from nvflare.apis.event_type import EventType
from nvflare.apis.job_def import Job, JobMetaKey
from nvflare.private.defs import CellMessageHeaderKeys
from nvflare.private.fed.app.deployer import server_deployer

from consilium.federation.server import site_return
from consilium.federation.server.job_runner import ResilientJobRunner
from consilium.federation.server.site_return import SiteReturn
from consilium.records.progress import PROGRESS_FILE, Ended, JobProgress
from federation.flare import Engine
from waiting import wait_until

DEADLINE_SECONDS = 20


class Runner(ResilientJobRunner):
    """Starts nothing, but writes down what it would have started."""

    def __init__(self, root):
        super().__init__(str(root))
        self.started = []

    def start_at(self, job, client, fl_ctx):
        self.started.append((job.job_id, client.name))


class Server:
    """A server's main process with running jobs and one site."""

    def __init__(self, root, component):
        self.engine = Engine(root, {}, ["aster"])
        self.engine.job_runner = self.runner = Runner(root)
        self.engine.run_processes = {}
        cell = SimpleNamespace(add_incoming_request_filter=self._note_listener)
        self.engine.server = SimpleNamespace(cell=SimpleNamespace(core_cell=cell))
        self._component = component

    def _note_listener(self, channel, topic, cb):
        self._listen = cb

    def run(self, job_id, progress=None):
        self.engine.run_processes[job_id] = {}
        meta = {JobMetaKey.DEPLOY_MAP.value: {"app": ["@ALL"]}}
        self.runner.running_jobs[job_id] = Job(job_id, {}, {"app": ["@ALL"]}, meta)
        if progress is not None:
            folder = self.engine.run_folder.parent / job_id
            folder.mkdir()
            (folder / PROGRESS_FILE).write_text(progress.model_dump_json())

    def start(self):
        self._component.handle_event(EventType.SYSTEM_START, self.engine.new_context())

    def hear(self, *jobs):
        """Let the site say which jobs it runs, until it is asked to start one."""
        headers = {CellMessageHeaderKeys.TOKEN: "token", CellMessageHeaderKeys.JOB_IDS: list(jobs)}

        def started():
            self._listen(SimpleNamespace(get_header=headers.get))
            return self.runner.started

        wait_until(lambda: self.runner.started or started(), "a job is started")


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(server_deployer, "JobRunner", server_deployer.JobRunner)
    monkeypatch.setattr(site_return, "_SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr(site_return, "_SETTLING_SECONDS", 0.0)
    component = SiteReturn()
    server = Server(tmp_path, component)
    yield server
    component.handle_event(EventType.SYSTEM_END, server.engine.new_context())


def test_a_running_job_is_started_at_a_site_that_does_not_run_it(server):
    server.run("at-work-there", JobProgress(started=0.0))
    server.run("missed-there", JobProgress(started=0.0))
    server.start()
    server.hear("at-work-there")
    assert server.runner.started == [("missed-there", "aster")]


def test_a_job_whose_work_is_over_is_not_started_again(server):
    # A site's process ends before the one at the server does.
    server.run("of-another-kind")
    server.run("over", JobProgress(started=0.0, ended=Ended(kind="success", time=1.0)))
    server.run("missed-there", JobProgress(started=0.0))
    server.start()
    server.hear()
    assert server.runner.started == [("missed-there", "aster")]


def test_a_job_whose_progress_can_t_be_read_keeps_no_site_from_the_others(server):
    server.run("damaged", JobProgress(started=0.0))
    (server.engine.run_folder.parent / "damaged" / PROGRESS_FILE).write_text('{"started": 0, "sites": [1]}')
    server.run("missed-there", JobProgress(started=0.0))
    server.start()
    server.hear()
    assert server.runner.started == [("missed-there", "aster")]


def test_a_job_that_can_t_be_started_keeps_no_site_from_the_others(server, monkeypatch):
    start = server.runner.start_at

    def fail(job, client, fl_ctx):
        if job.job_id == "damaged":
            raise OSError("its app can't be read")
        start(job, client, fl_ctx)

    monkeypatch.setattr(server.runner, "start_at", fail)
    server.run("damaged", JobProgress(started=0.0))
    server.run("missed-there", JobProgress(started=0.0))
    server.start()
    server.hear()
    assert server.runner.started == [("missed-there", "aster")]


@settings(max_examples=examples(100))
@given(token=ANYTHING, jobs=ANYTHING)
def test_whatever_stands_in_a_heartbeat_is_dropped_or_bounded(token, jobs):
    component = SiteReturn.__new__(SiteReturn)
    component._heard = {}
    headers = {CellMessageHeaderKeys.TOKEN: token, CellMessageHeaderKeys.JOB_IDS: jobs}
    component._listen(SimpleNamespace(get_header=headers.get))
    for heard in component._heard.values():
        assert len(heard.jobs) <= 1000
        assert all(isinstance(job, str) and len(job) <= 100 for job in heard.jobs)


@pytest.mark.parametrize(
    ("jobs", "heard"),
    [
        (["ok", 7, [1], {"a": 1}, None, "x" * 101, "fine"], {"ok", "fine"}),
        (("ok",), {"ok"}),
        (None, set()),
        ([str(number) for number in range(1001)], None),
        ("ok", None),
        ({"ok": 1}, None),
    ],
)
def test_job_ids_of_a_heartbeat_are_short_texts_and_not_endless(jobs, heard):
    component = SiteReturn.__new__(SiteReturn)
    component._heard = {}
    headers = {CellMessageHeaderKeys.TOKEN: "token", CellMessageHeaderKeys.JOB_IDS: jobs}
    component._listen(SimpleNamespace(get_header=headers.get))
    assert (set(component._heard["token"].jobs) if component._heard else None) == heard
