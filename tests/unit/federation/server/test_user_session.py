import pytest
from nvflare.apis.fl_constant import AdminCommandNames
from nvflare.apis.fl_exception import FLCommunicationError
from nvflare.fuel.flare_api.api_spec import InternalError, JobNotRunning, NoConnection

from consilium.errors import ConfigurationError
from consilium.federation.server.user_session import (
    ServerUnreachable,
    SessionError,
    open_session,
    read_job,
    read_running_jobs,
)

RUNNING = "1a1812a6-4579-4ddb-b483-05741d55d642"
ENDED = "64e0768a-8b1b-4485-b631-356669f074e3"
OLDER = "64e0aaaa-8b1b-4485-b631-356669f074e3"
ASKED = {"round": 2, "rounds": 6, "started": 0.0, "sites": {"birch": {"since": 0.0, "answer": "awaited"}}}


class Session:
    """Answers as FLARE's session with a server does."""

    def __init__(self, *jobs, stats=None):
        self._jobs = {job["job_id"]: {"job_name": "brain_tumor_fedavg", **job} for job in jobs}
        self._stats = stats

    def list_jobs(self, reverse=False, id_prefix=""):
        return [job for job_id, job in self._jobs.items() if job_id.startswith(id_prefix)]

    def get_job_meta(self, job_id):
        return self._jobs[job_id]

    def show_stats(self, job_id, target):
        if self._stats is None:
            raise JobNotRunning(f"{AdminCommandNames.SHOW_STATS}: {job_id}")
        return {target: {"ServerRunner": {}, **self._stats}}


@pytest.fixture
def session():
    return Session(
        {"job_id": RUNNING, "status": "RUNNING"},
        {
            "job_id": ENDED,
            "status": "FINISHED:COMPLETED",
            "outcome": {
                "kind": "partial",
                "reasons": [{"text": "round 2: birch is not part of it", "code": "late"}],
                "time": 5.0,
            },
        },
        {
            "job_id": OLDER,
            "status": "FINISHED:ABNORMAL",
            "interruption": {"reason": "killed", "durable_round": 3, "continued_by": ENDED},
        },
        stats={"consilium": ASKED},
    )


def test_the_jobs_that_run_are_shown_with_their_progress(session):
    (job,) = read_running_jobs(session)
    assert (job.job_id, job.progress.round, job.progress.awaited) == (RUNNING, 2, ["birch"])


def test_without_a_running_job_the_last_one_is_shown():
    ended = [{"job_id": job_id, "status": "FINISHED:COMPLETED"} for job_id in (ENDED, OLDER)]
    (job,) = read_running_jobs(Session(*ended))
    assert job.job_id == ENDED
    assert read_running_jobs(Session()) == []


def test_a_job_that_has_not_begun_has_no_progress():
    (job,) = read_running_jobs(Session({"job_id": RUNNING, "status": "SUBMITTED"}))
    assert (job.status, job.progress) == ("SUBMITTED", None)


def test_an_ended_job_is_recognized_by_its_meta_data(session):
    job = read_job(session, ENDED)
    assert (job.ended.kind, job.went_wrong) == ("partial", True)
    interrupted = read_job(session, OLDER[:8])
    assert (interrupted.interruption.durable_round, interrupted.interruption.continued_by) == (3, ENDED)


def test_an_unknown_or_ambiguous_id_is_reported(session):
    with pytest.raises(SessionError, match="knows no job 'deadbeef'"):
        read_job(session, "deadbeef")
    with pytest.raises(SessionError, match="2 jobs have an id that begins with '64e0'"):
        read_job(session, "64e0")


def test_what_a_server_of_another_version_says_does_not_hide_the_job():
    odd = Session({"job_id": ENDED, "status": "FINISHED:COMPLETED", "outcome": {"kind": "splendid"}})
    assert read_job(odd, ENDED).status == "FINISHED:COMPLETED"


def test_a_server_that_lists_no_jobs_is_reported():
    session = Session()
    session.list_jobs = lambda **_: (_ for _ in ()).throw(InternalError("no"))
    with pytest.raises(SessionError, match="does not list its jobs: no"):
        read_running_jobs(session)


@pytest.mark.parametrize("failure", [NoConnection("down"), FLCommunicationError("timeout")])
def test_a_server_that_is_down_or_too_busy_does_not_answer(tmp_path, monkeypatch, failure):
    """`consilium poc submit` then asks again, and `consilium status` says so."""

    def log_in(**_):
        raise failure

    monkeypatch.setattr("consilium.federation.server.user_session.new_secure_session", log_in)
    monkeypatch.setattr("consilium.federation.server.user_session._check_kit", lambda kit: None)
    monkeypatch.setattr("consilium.federation.server.user_session._user_of", lambda kit: "lead")
    with pytest.raises(ServerUnreachable, match="does not answer"), open_session(tmp_path):
        pass


def test_a_server_may_take_its_time_to_answer_a_command(tmp_path, monkeypatch):
    """FLARE gives up after 5 s, and then says that the server can't be reached."""
    session, given = Session(), []
    session.set_timeout, session.close = given.append, lambda: None
    monkeypatch.setattr("consilium.federation.server.user_session.new_secure_session", lambda **_: session)
    monkeypatch.setattr("consilium.federation.server.user_session._check_kit", lambda kit: None)
    monkeypatch.setattr("consilium.federation.server.user_session._user_of", lambda kit: "lead")
    with open_session(tmp_path) as opened:
        assert opened is session
        assert given[0] >= 30


def test_a_damaged_kit_is_reported(tmp_path):
    (tmp_path / "startup").mkdir()
    (tmp_path / "startup" / "fed_admin.json").write_text("{}")
    (tmp_path / "startup" / "client.crt").write_text("-----BEGIN CERTIFICATE-----")
    with pytest.raises(ConfigurationError, match="no certificate that can be read"), open_session(tmp_path):
        pass


@pytest.mark.parametrize(
    ("file", "reported"),
    [
        ("fed_client.json", "the kit of a hospital; `consilium status --site KIT`"),
        ("fed_server.json", "the kit of the server"),
        (None, "not the startup kit of a user"),
    ],
)
def test_a_wrong_kit_is_reported(tmp_path, file, reported):
    (tmp_path / "startup").mkdir()
    if file:
        (tmp_path / "startup" / file).write_text("{}")
    with pytest.raises(ConfigurationError, match=reported), open_session(tmp_path):
        pass
