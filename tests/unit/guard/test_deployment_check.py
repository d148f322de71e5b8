"""Before FLARE deploys a job: nothing of the site is removed or written for one that is refused."""

import json
from types import SimpleNamespace

import pytest
from federation.job_files import JOBS
from nvflare.apis.fl_context import FLContext
from nvflare.fuel.sec.authz import AuthorizationService
from nvflare.lighter.utils import sign_folders
from nvflare.private.admin_defs import Message
from nvflare.private.defs import RequestHeader, TrainingTopic
from nvflare.private.fed.client import training_cmds
from nvflare.private.fed.client.client_engine_internal_spec import ClientEngineInternalSpec
from nvflare.private.fed.client.scheduler_cmds import StartJobProcessor
from nvflare.private.fed.client.training_cmds import DeployProcessor
from nvflare.private.fed.server import job_runner
from nvflare.private.fed.utils.app_deployer import AppDeployer
from nvflare.security.security import FLAuthorizer

from consilium.guard import deployment_check as deployment
from consilium.guard.accepted_jobs import ACCEPTED_FILE
from consilium.guard.deployment_check import CheckedServerDeployer, deployment_fault
from consilium.guard.site_guard import SiteGuard
from consilium.provisioning.policy import authorization_policy
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job

from .kit import (
    JOB_ID,
    LEAD,
    OTHER_ID,
    described,
    make_site,
    new_authority,
    new_user,
    pack,
    signed_app,
    snapshot,
)

pytestmark = pytest.mark.usefixtures("allow_list")

RECIPE = build_recipe("brain_tumor_fedavg")


@pytest.fixture(scope="module")
def root():
    return new_authority()


@pytest.fixture(scope="module")
def signed(root, tmp_path_factory):
    """An app that the lead has signed, and what the server says of the job."""
    folder = tmp_path_factory.mktemp("signed")
    return signed_app(RECIPE, folder / "jobs", new_user(folder, root, LEAD, "lead"))


@pytest.fixture
def site(tmp_path, root, monkeypatch):
    authorizer = FLAuthorizer("north_hospital", authorization_policy("client"))
    monkeypatch.setattr(AuthorizationService, "the_authorizer", authorizer)
    return make_site(tmp_path / "kit", root)


@pytest.fixture
def guarded(monkeypatch):
    """A process of a hospital with its guard."""
    for kind in (DeployProcessor, StartJobProcessor):
        monkeypatch.setattr(kind, "process", kind.process)
    SiteGuard()


class Engine(ClientEngineInternalSpec):
    """A hospital's engine, as far as FLARE's processor asks it; deploys with FLARE's own deployer."""

    def __init__(self, site):
        self.args = SimpleNamespace(workspace=site.get_root_dir())
        self.site = site
        self.deployed = []

    def get_client_name(self):
        return "north"

    def deploy_app(self, app_name, job_id, job_meta, client_name, app_data):
        self.deployed.append(job_id)
        return AppDeployer().deploy(self.site, job_id, job_meta, app_name, app_data, FLContext()) or ""


Engine.__abstractmethods__ = frozenset()  # the rest of the interface is not asked


def request(archive, meta, job_id=JOB_ID, app_name="app"):
    message = Message(topic=TrainingTopic.DEPLOY, body=archive)
    message.set_header(RequestHeader.JOB_ID, job_id)
    message.set_header(RequestHeader.JOB_META, meta)
    message.set_header(RequestHeader.APP_NAME, app_name)
    return message


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("name", [job.name for job in JOBS])
def test_a_signed_job_is_deployed_at_a_hospital(site, guarded, root, tmp_path, name):
    lead = new_user(tmp_path, root, LEAD, "lead")
    archive, meta = signed_app(build_recipe(name), tmp_path / "jobs", lead)
    engine = Engine(site)
    reply = DeployProcessor().process(request(archive, meta), engine)
    assert reply.body == "deployed app to north"
    assert (tmp_path / "kit" / JOB_ID / "app_north/config/config_fed_client.json").is_file()
    assert JOB_ID in json.loads((tmp_path / "kit" / ACCEPTED_FILE).read_text())["jobs"]


def test_a_signed_job_is_deployed_at_the_server(site, signed, tmp_path):
    archive, meta = signed
    site.site_name = "server"
    assert CheckedServerDeployer().deploy(site, JOB_ID, meta, "app", archive, FLContext()) is None
    assert (tmp_path / "kit" / JOB_ID / "app_server/config/config_fed_server.json").is_file()
    assert not (tmp_path / "kit" / ACCEPTED_FILE).exists()


ATTACKS = {
    "local": {"job_id": "local"},
    "startup": {"job_id": "startup"},
    "the kit itself": {"job_id": "."},
    "a path": {"job_id": "../elsewhere"},
    "an absolute path": {"job_id": "/etc"},
    "no id": {"job_id": None},
    "another id in the description": {"meta": {"job_id": OTHER_ID}},
    "a path in the description": {"meta": {"job_id": "local"}},
    "no description": {"meta": None},
    "a description of another kind": {"meta": ["x"]},
    "an image": {"meta": {"launcher_spec": {"default": {"docker": {"image": "x"}}}}},
    "code by word": {"meta": {"byoc": True}},
    "another app": {"app_name": "other"},
    "an app's name that is a path": {"app_name": "../../x"},
    "no archive": {"archive": b"x"},
    "no bytes": {"archive": "x"},
    "an empty archive": {"archive": b"PK\x05\x06" + bytes(18)},
    "another submitter": {"meta": {"submitter_name": "admin@consortium.example"}},
}


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("side", ["server", "client"])
def test_what_is_rejected_changes_nothing_at_the_site(site, signed, guarded, audited, tmp_path, name, side):
    archive, meta = signed
    attack = ATTACKS[name]
    given = {**meta, **attack["meta"]} if isinstance(attack.get("meta"), dict) else attack.get("meta", meta)
    arguments = {
        "job_id": attack.get("job_id", JOB_ID),
        "meta": given,
        "app_name": attack.get("app_name", "app"),
        "archive": attack.get("archive", archive),
    }
    if "job_id" in attack:
        arguments["meta"] = {**meta, "job_id": attack["job_id"]}
    (tmp_path / "kit" / JOB_ID).mkdir()
    (tmp_path / "kit" / JOB_ID / "result.txt").write_text("of an earlier run")
    before = snapshot(tmp_path)
    if side == "client":
        engine = Engine(site)
        message = request(arguments["archive"], arguments["meta"], arguments["job_id"], arguments["app_name"])
        reason = DeployProcessor().process(message, engine).body
        assert not engine.deployed
    else:
        reason = CheckedServerDeployer().deploy(
            site,
            arguments["job_id"],
            arguments["meta"],
            arguments["app_name"],
            arguments["archive"],
            FLContext(),
        )
    assert reason.startswith("this site rejects the job (")
    if "job_id" in attack:
        assert "is none that FLARE gives a job" in reason
    assert snapshot(tmp_path) == before
    assert [event["action"] for event in audited] == ["job_rejected"]


@pytest.fixture
def started(monkeypatch):
    """What FLARE's own start is asked for."""
    asked = []

    def note(processor, req, app_ctx):
        asked.append(req.get_header(RequestHeader.JOB_ID))
        return Message(topic="reply", body="OK")

    monkeypatch.setattr(deployment, "FLARES_START", note)
    return asked


def test_a_job_starts_as_it_was_deployed_and_not_otherwise(site, signed, guarded, started, audited, tmp_path):
    """FLARE compares some entries, and writes all that come with the start over those that were deployed."""
    archive, meta = signed
    DeployProcessor().process(request(archive, meta), Engine(site))

    def start(meta, job_id=JOB_ID):
        return StartJobProcessor().process(request(None, meta, job_id), Engine(site)).body

    assert start(meta) == "OK"
    later = {**meta, "status": "DISPATCHED", "job_clients": [{"name": "north"}], "schedule_count": 1}
    assert start(later) == "OK"
    assert (started, audited) == ([JOB_ID] * 2, [])
    before = snapshot(tmp_path)
    for change, said in (
        ({"name": "other"}, "another name"),
        ({"min_clients": 1}, "another min_clients"),
        ({"resume": OTHER_ID}, "another resume"),
        ({"submitter_name": "x"}, "another submitter_name"),
        ({"scope": "x"}, "another scope"),
        ({"job_id": OTHER_ID}, "calls itself"),
        ({"byoc": True}, "byoc: no such setting"),
        ({"launcher_spec": {}}, "launcher_spec: no such setting"),
    ):
        assert said in start({**meta, **change})
    for job_id in ("local", "../x", None, OTHER_ID):
        answer = start({**meta, "job_id": job_id}, job_id)
        assert "is none that FLARE gives a job" in answer or "was not deployed here" in answer
    assert len(started) == 2
    assert snapshot(tmp_path) == before
    assert {event["action"] for event in audited} == {"job_rejected"}


def test_a_deployed_job_does_not_start_once_the_site_has_forgotten_it(
    site, signed, guarded, started, audited, tmp_path
):
    archive, meta = signed
    DeployProcessor().process(request(archive, meta), Engine(site))
    (tmp_path / "kit" / ACCEPTED_FILE).unlink()
    answer = StartJobProcessor().process(request(None, meta), Engine(site)).body
    assert "none that this site has accepted" in answer
    config = tmp_path / "kit/startup/fed_client.json"
    config.write_text(json.dumps({"require_signed_jobs": False}))
    assert StartJobProcessor().process(request(None, meta), Engine(site)).body == "OK"
    assert started == [JOB_ID]


def test_an_unsigned_job_is_rejected_where_jobs_are_to_be_signed(site, tmp_path):
    archive, meta = signed_app(RECIPE, tmp_path / "jobs", None)
    assert "it is not signed" in deployment_fault(site, "client", JOB_ID, meta, "app", archive)
    config = tmp_path / "kit/startup/fed_client.json"
    config.write_text(json.dumps({"require_signed_jobs": False}))
    assert deployment_fault(site, "client", JOB_ID, meta, "app", archive) is None


def test_a_replayed_job_is_rejected_without_touching_what_the_first_left(site, signed, guarded, tmp_path):
    archive, meta = signed
    engine = Engine(site)
    DeployProcessor().process(request(archive, meta), engine)
    before = snapshot(tmp_path)
    again = DeployProcessor().process(request(archive, {**meta, "job_id": OTHER_ID}, OTHER_ID), engine)
    assert f"came with job {JOB_ID} before" in again.body
    assert snapshot(tmp_path) == before
    copy = {**meta, "job_id": OTHER_ID, "cloned_from": JOB_ID}
    assert DeployProcessor().process(request(archive, copy, OTHER_ID), engine).body == "deployed app to north"


def test_a_hospitals_own_key_signs_no_job(site, root, tmp_path):
    """FLARE takes the signature of anybody under the root."""
    site_key = new_user(tmp_path, root, "north", None, org="north_hospital")
    archive, meta = signed_app(RECIPE, tmp_path / "jobs", site_key)
    meta |= {"submitter_name": "north", "submitter_org": "north_hospital"}
    assert "no right to submit here" in deployment_fault(site, "client", JOB_ID, meta, "app", archive)


def test_code_is_rejected_even_signed(site, root, tmp_path):
    lead = new_user(tmp_path, root, LEAD, "lead")
    job = export_job(RECIPE, tmp_path / "jobs")
    (job / "app/custom").mkdir()
    sign_folders(str(job), lead.key, str(lead.certificate))
    meta = described(json.loads((job / "meta.json").read_text()))
    assert "contains code" in deployment_fault(site, "client", JOB_ID, meta, "app", pack(job / "app"))


def test_the_guards_are_where_flare_asks(monkeypatch, guarded):
    assert training_cmds.DeployProcessor.process is deployment.process_deployment
    assert StartJobProcessor.process is deployment.process_start
    SiteGuard()  # in a process that builds its components twice
    assert job_runner.AppDeployer in (AppDeployer, CheckedServerDeployer)


def test_meta_of_every_kind_of_job_that_flares_server_makes_is_taken(site, signed):
    archive, meta = signed
    for more in (
        {"scope": "hospital"},
        {"cloned_from": OTHER_ID, "schedule_count": 3, "schedule_history": ["x"], "last_schedule_time": 1.5},
        {"resume": OTHER_ID, "cloned_from": OTHER_ID},
        {"submit_time": 1.0, "submit_time_iso": "x", "start_time": "", "duration": "N/A",
         "data_storage_format": 2, "job_folder_name": "tmpx", "job_deploy_detail": ["north: OK"]},
    ):  # fmt: skip
        described_more = described(meta, **more)
        assert deployment_fault(site, "server", JOB_ID, described_more, "app", archive) is None
