from types import SimpleNamespace

import pytest
from nvflare.apis.fl_context import FLContext
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey
from nvflare.fuel.sec.authz import AuthorizationService
from nvflare.private.admin_defs import Message
from nvflare.private.defs import RequestHeader, new_cell_message
from nvflare.private.fed.client.admin import RequestProcessor
from nvflare.private.fed.client.client_req_processors import ClientRequestProcessors
from nvflare.security.security import FLAuthorizer

from consilium.errors import RefusalCode
from consilium.guard import site_commands
from consilium.guard.site_commands import COMMANDS, GuardedAdminAgent
from consilium.provisioning.policy import authorization_policy

JOB, OTHER = "1c5a0f6e-9a3b-4d52-8f1e-0d6c2f6b7a11", "7b2f4a0c-3d1e-4c8a-9f60-5e4d3c2b1a09"
TOPICS = sorted(topic for one in ClientRequestProcessors.request_processors for topic in one.get_topics())
LEAD = {
    RequestHeader.USER_NAME: "lead@x.example",
    RequestHeader.USER_ORG: "x",
    RequestHeader.USER_ROLE: "lead",
}
OWN_ADMIN = {
    RequestHeader.USER_NAME: "it@north.example",
    RequestHeader.USER_ORG: "north_hospital",
    RequestHeader.USER_ROLE: "org_admin",
}


class Done(RequestProcessor):
    """Takes note of the commands that reach it, in place of what carries them out."""

    def __init__(self, topics):
        self.topics, self.seen = topics, []

    def get_topics(self):
        return self.topics

    def process(self, request, app_ctx):
        self.seen.append((request.topic, request.get_header(RequestHeader.JOB_META)))


class Engine:
    """What the agent needs of a site's engine."""

    def __init__(self, workspace):
        self.args = SimpleNamespace(workspace=str(workspace))

    def get_client_name(self):
        return "north"

    def fire_event(self, event_type, fl_ctx):
        pass

    def new_context(self):
        return FLContext()


@pytest.fixture
def refusals(monkeypatch):
    found = []
    monkeypatch.setattr(site_commands, "record_rejected_command", lambda *row: found.append(row[1:]))
    return found


@pytest.fixture
def agent(tmp_path, monkeypatch, refusals):
    (tmp_path / "startup").mkdir()
    (tmp_path / "local").mkdir()
    monkeypatch.setattr("nvflare.private.fed.client.admin.AuditService.get_auditor", _Auditor)
    monkeypatch.setattr("nvflare.private.fed.client.admin.Auditor", _Auditor)
    monkeypatch.setattr(AuthorizationService, "the_authorizer", None)
    AuthorizationService.initialize(FLAuthorizer("north_hospital", authorization_policy("client")))
    cell = SimpleNamespace(register_request_cb=lambda **_: None)
    made = GuardedAdminAgent("admin_agent", cell, Engine(tmp_path))
    made.done = Done(TOPICS)
    made.register_processor(made.done)
    made.workspace = tmp_path
    yield made
    AuthorizationService.the_authorizer = None


class _Auditor:
    def add_event(self, **event):
        pass


def ask(agent, topic, origin="server", job=JOB, **headers):
    message = Message(topic=topic, body="ls .")
    for name, value in {RequestHeader.JOB_ID: job, **headers}.items():
        message.set_header(name, value)
    request = new_cell_message({MessageHeaderKey.ORIGIN: origin}, message)
    return agent._dispatch_request(request).payload


@pytest.mark.parametrize("topic", sorted(set(TOPICS) - set(COMMANDS)))
@pytest.mark.parametrize("user", [{}, LEAD, OWN_ADMIN], ids=["nobody", "lead", "own admin"])
@pytest.mark.parametrize("require_authz", ["true", "false", None])
def test_a_command_that_is_not_listed_has_no_handler(agent, refusals, topic, user, require_authz):
    reply = ask(agent, topic, **user, **{RequestHeader.REQUIRE_AUTHZ: require_authz})
    assert "not available at a site" in reply.body
    assert topic not in agent.processors
    assert (agent.done.seen, refusals[0][0]) == ([], topic)


@pytest.mark.parametrize("topic", sorted(name for name, one in COMMANDS.items() if one.right))
def test_a_command_of_a_user_s_is_authorized_by_the_site_whatever_the_message_says(agent, refusals, topic):
    stranger = {RequestHeader.USER_NAME: "x", RequestHeader.USER_ORG: "x", RequestHeader.USER_ROLE: "nobody"}
    for said in (
        {},
        {RequestHeader.REQUIRE_AUTHZ: "false"},
        {RequestHeader.ADMIN_COMMAND: "check_resources"},
    ):
        ask(agent, topic, **stranger, **said)
        assert agent.done.seen == []
    assert [(command, code) for command, _, code in refusals] == [(topic, RefusalCode.COMMAND_RIGHT)] * 3
    assert "user x is not authorized for it" in refusals[0][1]
    ask(agent, topic, **{**LEAD, RequestHeader.USER_ROLE: "project_admin"})
    assert [one for one, _ in agent.done.seen] == [topic]


@pytest.mark.parametrize("topic", sorted(COMMANDS))
@pytest.mark.parametrize("origin", ["south", f"south.{JOB}", f"_admin_{JOB}", f"server.{JOB}", None, "north"])
def test_a_command_of_another_process_is_rejected(agent, refusals, topic, origin):
    ask(agent, topic, origin, **LEAD)
    if COMMANDS[topic].sender.name == "SITE_JOB" and origin == f"south.{JOB}":
        return  # the cell has refused it: another site's process can't be the neighbor
    assert (agent.done.seen, len(refusals)) == ([], 1)


@pytest.mark.parametrize("topic", sorted(name for name, one in COMMANDS.items() if one.of_job))
@pytest.mark.parametrize("job", ["local", "startup", "../north", "", None, ".", JOB.upper()])
def test_a_name_that_is_no_job_id_never_becomes_a_folder(agent, refusals, topic, job):
    origin = f"north.{JOB}" if COMMANDS[topic].sender.name == "SITE_JOB" else "server"
    ask(agent, topic, origin, job, **LEAD)
    assert (agent.done.seen, len(refusals)) == ([], 1)


def test_a_job_s_process_speaks_for_its_own_job_only(agent):
    assert "another job" in ask(agent, "train.notify_job_status", f"north.{OTHER}").body
    assert agent.done.seen == []
