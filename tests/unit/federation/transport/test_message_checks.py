"""What sites send reaches FLARE only as a message of the site that sent it, and in the form that it has."""

import time
from types import SimpleNamespace

import pytest
from anything import ANYTHING
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FedEventHeader, FLContextKey, ReservedKey, ReturnCode, ServerCommandNames
from nvflare.apis.fl_context import FLContext
from nvflare.apis.impl.wf_comm_server import WFCommServer
from nvflare.apis.shareable import ReservedHeaderKey, Shareable
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey
from nvflare.fuel.f3.cellnet.defs import ReturnCode as CellReturnCode
from nvflare.fuel.f3.message import Message
from nvflare.private.defs import CellMessageHeaderKeys
from nvflare.private.fed.server import server_command_agent
from nvflare.private.fed.server.server_command_agent import ServerCommandAgent
from nvflare.private.fed.server.server_runner import ServerRunner
from nvflare.widgets.fed_event import FED_EVENT_TOPIC

from consilium.federation.exchange.site_controller import TaskCommunicator
from consilium.federation.message_names import REASON_HEADER
from consilium.federation.transport import message_checks as senders
from consilium.federation.transport.message_checks import (
    BROKEN_ANSWER,
    EventRateLimit,
    answer_fault,
    aux_fault,
    install_message_checks,
    is_from_participant,
    limit_return_code,
    submission_fault,
)
from federation.flare import Engine

STATE = "fed.consilium_site_state"


def answer(site="north", task="train", task_id="1-2-3"):
    context = FLContext()
    context.set_prop(ReservedKey.IDENTITY_NAME, site, private=False, sticky=False)
    message = Shareable()
    message.set_peer_context(context)
    message.set_header(FLContextKey.TASK_NAME, task)
    message.add_cookie(FLContextKey.TASK_ID, task_id)
    return message


def event(site="north", kind=STATE, event_id="abc"):
    message = Shareable()
    message.set_peer_props({ReservedKey.IDENTITY_NAME: site})
    message.set_header(FedEventHeader.EVENT_TYPE, kind)
    message.set_header(FedEventHeader.EVENT_ID, event_id)
    return message


def test_an_honest_site_is_let_in():
    assert answer_fault(answer(), "north") is None
    assert aux_fault(FED_EVENT_TOPIC, event(), "north") is None
    assert aux_fault("__task_check__", event(), "north") is None


@pytest.mark.parametrize("named", ["south", "", None, 7])
def test_a_site_speaks_for_itself_only(named):
    assert answer_fault(answer(named), "north") == "it names another site than its sender"
    assert submission_fault(answer(named), "north") == "it names another site than its sender"
    assert aux_fault(FED_EVENT_TOPIC, event(named), "north") == "it names another site than its sender"


def test_nobody_speaks_for_a_sender_without_a_name():
    assert submission_fault(answer(""), "") == "it names another site than its sender"
    assert aux_fault(FED_EVENT_TOPIC, event(""), "") == "it names another site than its sender"


def test_a_site_may_fire_one_event_and_none_of_flare_s_or_ours():
    known = {value for name, value in vars(EventType).items() if name.isupper()}
    for kind in (
        *known,
        "fed._end_run",
        "consilium_answer_taken",
        "analytix_log_stats",
        "fed.analytix_log_stats",
    ):
        assert aux_fault(FED_EVENT_TOPIC, event(kind=kind), "north") == "it is an event that no site may fire"


@settings(max_examples=examples(200))
@given(
    place=st.sampled_from(["payload", "headers", "context", "props", "cookies", "task", "id", "kind"]),
    value=ANYTHING,
)
def test_anything_at_any_place_is_turned_away_or_harmless(place, value):
    said, fired = answer(), event()
    if place == "payload":
        said = fired = value
    elif place == "headers":
        said[ReservedHeaderKey.HEADERS] = fired[ReservedHeaderKey.HEADERS] = value
    else:
        key = {
            "context": ReservedHeaderKey.PEER_CTX,
            "props": ReservedHeaderKey.PEER_PROPS,
            "cookies": ReservedHeaderKey.COOKIE_JAR,
            "task": FLContextKey.TASK_NAME,
            "kind": FedEventHeader.EVENT_TYPE,
            "id": FedEventHeader.EVENT_ID,
        }[place]
        said.set_header(key, value)
        fired.set_header(key, value)
    allowance = EventRateLimit(1, 10)
    for fault in (answer_fault(said, "north"), aux_fault(FED_EVENT_TOPIC, fired, "north", allowance)):
        assert fault is None or fault.isprintable()
    if place in ("payload", "headers"):
        assert answer_fault(said, "north")
        assert aux_fault(FED_EVENT_TOPIC, fired, "north", allowance)


@pytest.mark.parametrize("code", [*ServerRunner.ABORT_RETURN_CODES])
def test_no_return_code_of_one_site_ends_the_job(code):
    message = answer()
    message.set_return_code(code)
    limit_return_code(message)
    assert message.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert message.get_header(REASON_HEADER) == f"the job can't run there ({code})"


@given(ANYTHING)
def test_a_return_code_is_a_text(code):
    message = answer()
    message.set_return_code(code)
    message.set_header(ReservedHeaderKey.AUDIT_EVENT_ID, code)
    limit_return_code(message)
    assert isinstance(message.get_return_code(), str)
    assert message.get_return_code() not in ServerRunner.ABORT_RETURN_CODES
    assert message.get_header(ReservedHeaderKey.AUDIT_EVENT_ID).isprintable()


def test_a_site_that_floods_the_server_with_events_is_turned_away_and_no_other():
    allowance = EventRateLimit(per_second=0.0, at_once=5)
    faults = [aux_fault(FED_EVENT_TOPIC, event(), "north", allowance) for _ in range(8)]
    assert faults == [None] * 5 + ["the site sends too many"] * 3
    assert aux_fault(FED_EVENT_TOPIC, event("south"), "south", allowance) is None


@pytest.fixture
def agent(tmp_path, monkeypatch):
    """FLARE's agent, which writes down what it would have done."""
    done = []
    for name in ("_execute_command", "_aux_communicate"):
        monkeypatch.setattr(ServerCommandAgent, name, getattr(ServerCommandAgent, name))
    monkeypatch.setattr(senders, "_execute_of_flare", lambda agent, request: done.append(request))
    monkeypatch.setattr(senders, "_communicate_of_flare", lambda agent, request: done.append(request))
    # `replace` wants what FLARE has: the originals stand there.
    ServerCommandAgent._execute_command = senders._execute_checked
    ServerCommandAgent._aux_communicate = senders._communicate_checked
    engine = Engine(tmp_path, clients=("north",))
    agent = ServerCommandAgent(engine, SimpleNamespace())
    agent.done = done
    return agent


def request(payload, topic, sender="north"):
    return Message({CellMessageHeaderKeys.CLIENT_NAME: sender, MessageHeaderKey.TOPIC: topic}, payload)


def test_what_is_in_order_reaches_flare(agent):
    agent._execute_command(request(answer(), ServerCommandNames.SUBMIT_UPDATE))
    agent._execute_command(request(answer(), ServerCommandNames.GET_TASK))
    agent._execute_command(request("what the server asks of itself", ServerCommandNames.GET_RUN_INFO))
    agent._aux_communicate(request(event(), FED_EVENT_TOPIC))
    assert len(agent.done) == 4


def test_what_is_not_is_turned_away_and_a_broken_answer_announced(agent):
    replies = [
        agent._execute_command(request([1], ServerCommandNames.SUBMIT_UPDATE)),
        agent._execute_command(request(answer("south"), ServerCommandNames.GET_TASK)),
        agent._aux_communicate(request(event("south"), FED_EVENT_TOPIC)),
    ]
    assert agent.done == []
    codes = {reply.get_header(MessageHeaderKey.RETURN_CODE) for reply in replies}
    assert codes == {CellReturnCode.INVALID_REQUEST}
    reason = "its answer can't be read: it is no message of FLARE's"
    assert agent.engine.events == [(BROKEN_ANSWER, {"site": "north", "reason": reason})]


def test_what_a_session_sends_whose_tasks_are_rejected_is_no_sign_of_life(agent, monkeypatch):
    """The site has registered again, in another process; this one still sends its heartbeats."""
    monkeypatch.setattr(agent, "_get_client", {"present": "north"}.get)
    tasks, heard = TaskCommunicator(), []
    monkeypatch.setattr(WFCommServer, "client_is_active", lambda *_: heard.append("reconnected"))

    def serve(agent, request):
        tasks.client_is_active("north", "jobHeartbeat", agent.engine.context)

    monkeypatch.setattr(senders, "_communicate_of_flare", serve)
    asked = time.monotonic()
    for token, alive in (("former", False), (None, False), ("present", True)):
        beat = request(event(), FED_EVENT_TOPIC)
        beat.set_header(CellMessageHeaderKeys.TOKEN, token)
        agent._aux_communicate(beat)
        absence = tasks.absence("north", asked - 61, 60)
        assert (absence is None) is alive
        assert heard == (["reconnected"] if alive else [])
    assert is_from_participant()


def test_the_checks_take_the_place_of_flare_s_own(monkeypatch):
    for name in ("_execute_command", "_aux_communicate"):
        monkeypatch.setattr(
            server_command_agent.ServerCommandAgent,
            name,
            getattr(
                senders,
                {"_execute_command": "_execute_of_flare", "_aux_communicate": "_communicate_of_flare"}[name],
            ),
        )
    install_message_checks()
    assert ServerCommandAgent._execute_command is senders._execute_checked
    assert ServerCommandAgent._aux_communicate is senders._communicate_checked
