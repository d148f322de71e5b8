import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nvflare.apis.fl_constant import ReservedTopic
from nvflare.app_common.ccwf.common import Constant, make_task_name, topic_for_end_workflow
from nvflare.fuel.f3.cellnet.defs import CellChannel, MessageHeaderKey, MessageType
from nvflare.fuel.f3.streaming.stream_const import StreamHeaderKey

from consilium.guard.message_rules import MessageRules
from consilium.guard.message_table import LOG_STREAMS, MESSAGES, accepted_topics
from consilium.guard.parties import Kind, parse_party

JOB, OTHER = "1c5a0f6e-9a3b-4d52-8f1e-0d6c2f6b7a11", "7b2f4a0c-3d1e-4c8a-9f60-5e4d3c2b1a09"
USER = f"_admin_{OTHER}"
NAMES = (
    "server", f"server.{JOB}", f"server.{OTHER}", "north", f"north.{JOB}", f"north.{OTHER}", "south",
    f"south.{JOB}", f"north.ws_transfer_{JOB}", USER, "north.local", "",
)  # fmt: skip
LISTED = sorted(
    {(channel, topic) for topics in MESSAGES.values() for channel, some in topics.items() for topic in some}
)
OTHERS = [
    ("admin", "train.shutdown"),
    ("cellnet.channel", "bulk"),
    ("_net_manager", "stop"),
    ("x", "y"),
    (None, 3),
]
CHANNELS = st.sampled_from([*LISTED, *OTHERS])

TRANSFER = f"north.ws_transfer_{JOB}"


def headers(origin, destination, channel, topic, kind=MessageType.REQ, *, stream=False, **more):
    about = {MessageHeaderKey.CHANNEL: channel, MessageHeaderKey.TOPIC: topic}
    if stream:
        about = {
            MessageHeaderKey.CHANNEL: "sm__STREAM",
            MessageHeaderKey.TOPIC: "sm__DATA",
            StreamHeaderKey.CHANNEL: channel,
            StreamHeaderKey.TOPIC: topic,
        }
    said = {MessageHeaderKey.ORIGIN: origin, MessageHeaderKey.DESTINATION: destination}
    return {**said, MessageHeaderKey.MSG_TYPE: kind, **about, **more}


@pytest.mark.parametrize(
    ("me", "neighbor", "origin", "destination", "channel", "topic"),
    [
        ("north", "server", "server", "north", "admin", "admin"),
        ("north", f"north.{JOB}", f"north.{JOB}", "north", "admin", "train.notify_job_status"),
        (f"north.{JOB}", "north", "north", f"north.{JOB}", "client_command", "abort"),
        (f"north.{JOB}", "server", f"server.{JOB}", f"north.{JOB}", "aux_communication", "__end_run__"),
        ("server", "north", "north", "server", "task", "heart_beat"),
        ("server", f"north.{JOB}", f"north.{JOB}", f"server.{JOB}", "server_command", "get_task"),
        (f"server.{JOB}", "server", f"north.{JOB}", f"server.{JOB}", "server_command", "submit_update"),
        ("server", f"server.{JOB}", f"server.{JOB}", f"north.{JOB}", "aux_communication", "__end_run__"),
        ("server", f"server.{JOB}", f"server.{JOB}", "server", "server_parent_listener", "get_clients"),
        ("server", USER, USER, "server", "hci_channel", "command"),
    ],
)
def test_what_a_job_needs_is_accepted(me, neighbor, origin, destination, channel, topic):
    assert MessageRules(me).fault(neighbor, headers(origin, destination, channel, topic)) is None


@pytest.mark.parametrize(
    ("origin", "topic", "accepted"),
    [
        *[(f"north.{JOB}", topic, True) for topic in ("sm__ACK", "sm__ERROR", "sm__DATA")],
        ("north", "sm__ERROR", True),  # it could not pass a stream on to its job's process
        ("north", "sm__ACK", False),
        ("north", "sm__DATA", False),
        *[(f"south.{OTHER}", topic, False) for topic in ("sm__ACK", "sm__ERROR", "sm__DATA")],
    ],
)
def test_streams_go_between_the_processes_of_one_job(origin, accepted, topic):
    message = headers(origin, f"server.{JOB}", "server_command", "submit_update", stream=True)
    message[MessageHeaderKey.TOPIC] = topic
    assert (MessageRules("server").fault(origin, message) is None) == accepted


@pytest.mark.parametrize(
    ("me", "neighbor", "origin", "destination", "channel", "topic"),
    [
        # From hospital to hospital, and in another's name.
        ("server", "south", "south", "north", "admin", "admin"),
        ("server", "south", "server", "north", "admin", "admin"),
        ("server", "south", f"south.{JOB}", f"north.{JOB}", "aux_communication", "__end_run__"),
        ("server", "south", "north", "server", "task", "heart_beat"),
        ("server", f"south.{JOB}", f"north.{JOB}", f"server.{JOB}", "server_command", "submit_update"),
        ("server", f"south.{JOB}", "south", "server", "task", "quit"),
        ("north", "server", "south", "north", "admin", "admin"),
        ("north", "server", USER, "north", "admin", "admin"),
        (f"north.{JOB}", "server", f"south.{JOB}", f"north.{JOB}", "aux_communication", "__end_run__"),
        # From a job to another, or beyond its own.
        ("server", f"north.{JOB}", f"north.{JOB}", f"server.{OTHER}", "server_command", "get_task"),
        (f"server.{JOB}", "server", f"north.{OTHER}", f"server.{JOB}", "server_command", "get_task"),
        (f"north.{JOB}", "server", f"server.{OTHER}", f"north.{JOB}", "aux_communication", "__end_run__"),
        ("north", f"north.{JOB}", f"north.{OTHER}", "north", "admin", "train.notify_job_status"),
        ("north", f"north.{JOB}", f"north.{JOB}", "north", "admin", "admin"),
        ("server", f"server.{JOB}", f"server.{JOB}", "north", "admin", "admin"),
        ("server", "north", "north", f"server.{JOB}", "server_command", "abort"),
        # What nobody may ask.
        ("server", "north", "north", "server", "server_parent_listener", "get_clients"),
        ("server", "north", "north", "server", "hci_channel", "command"),
        ("server", "north", "north", "server", "_net_manager", "config_vars"),
        ("north", "server", "server", "north", "cellnet.channel", "bulk"),
        ("north", "server", "server", "north", "_net_manager", "stop_cell"),
        (f"north.{JOB}", "server", "server", f"north.{JOB}", "client_command", "abort"),
        # A hospital as a job of the server's that fetches its files, and the other way round.
        ("server", TRANSFER, TRANSFER, "server", "workspace_transfer", "prepare_download"),
        ("server", "north", TRANSFER, "server", "workspace_transfer", "publish_results"),
        ("server", TRANSFER, TRANSFER, "server", "return_only", "x"),
        ("north", "server", f"server.ws_transfer_{JOB}", "north", "workspace_transfer", "prepare_download"),
        # The server's job processes, by somebody over the network.
        (f"server.{JOB}", f"north.{JOB}", f"north.{JOB}", f"server.{JOB}", "server_command", "get_task"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_everything_else_is_rejected(me, neighbor, origin, destination, channel, topic, stream):
    message = headers(origin, destination, channel, topic, stream=stream)
    assert MessageRules(me).fault(neighbor, message) is not None


@pytest.mark.parametrize(
    "topic",
    [
        ReservedTopic.DO_TASK,  # cyclic and swarm: train on this model, and here is the final one
        make_task_name(Constant.TN_PREFIX_SWARM, Constant.BASENAME_REQUEST_TO_SUBMIT_LEARN_RESULT),
        f"{Constant.TOPIC_SHARE_RESULT}.workflow",
    ],
)
def test_flare_s_workflows_from_site_to_site_are_neither_passed_on_nor_accepted(topic):
    message = headers(f"south.{JOB}", f"north.{JOB}", CellChannel.AUX_COMMUNICATION, topic)
    assert MessageRules("server").fault(f"south.{JOB}", message) == (
        "it would have to be passed on from one party to another that has no part in its work"
    )
    assert MessageRules(f"north.{JOB}").fault("server", message) == (
        "the process that delivers it can't speak for its origin"
    )


def test_the_server_s_end_of_such_a_workflow_is_not_accepted_either():
    topic = topic_for_end_workflow("workflow")
    message = headers(f"server.{JOB}", f"north.{JOB}", CellChannel.AUX_COMMUNICATION, topic)
    assert MessageRules(f"north.{JOB}").fault("server", message) == (
        "its receiver accepts no such message of its sender"
    )


@pytest.mark.parametrize(
    ("me", "neighbor", "origin", "destination", "accepted"),
    [
        ("server", "north", "north", f"server.{JOB}", True),
        (f"server.{JOB}", "server", "north", f"server.{JOB}", True),
        ("north", "server", "server", f"north.{JOB}", True),
        (f"north.{JOB}", "north", "server", f"north.{JOB}", True),
        (f"north.{JOB}", "server", "server", f"north.{JOB}", True),
        ("server", "south", "north", f"server.{JOB}", False),
        ("server", "south", "south", f"north.{JOB}", False),
        ("server", "south", "server", f"north.{JOB}", False),
        ("north", "server", "south", f"north.{JOB}", False),
        ("north", f"north.{OTHER}", "server", f"north.{JOB}", False),
    ],
)
@pytest.mark.parametrize("topic", ["sm__ERROR", "sm__ACK", "sm__DATA"])
def test_who_had_to_pass_a_stream_on_reports_that_it_could_not(
    me, neighbor, origin, destination, accepted, topic
):
    message = headers(origin, destination, "sm__STREAM", topic)
    assert (MessageRules(me).fault(neighbor, message) is None) == (accepted and topic == "sm__ERROR")


@pytest.mark.parametrize("said", ["regular", "admin", "relay", None, 3])
@pytest.mark.parametrize(("who", "is_"), [("north", "regular"), (USER, "admin")])
def test_nobody_registers_as_what_it_is_not(who, is_, said):
    message = headers(who, "server", "task", "register", client_type=said)
    assert (MessageRules("server").fault(who, message) is None) == (said == is_)


@pytest.mark.parametrize(
    ("me", "neighbor", "channel", "topic"),
    [
        (f"server.{JOB}", "server", "server_command", "get_run_info"),
        (f"server.{JOB}", "server", "server_command", "abort"),
        (f"north.{JOB}", "north", "client_command", "abort"),
    ],
)
def test_a_job_takes_its_parent_s_commands_as_streams(me, neighbor, channel, topic):
    assert MessageRules(me).fault(neighbor, headers(neighbor, me, channel, topic, stream=True)) is None


def test_a_session_of_another_site_is_no_use():
    message = headers("north", "server", "task", "heart_beat")
    rules = MessageRules("server")
    assert rules.fault("north", message | {"client_name": "north"}) is None
    assert rules.fault("north", message | {"client_name": "south"}) == "its session is another site's"


@given(
    me=st.sampled_from(NAMES[:7]),
    neighbor=st.sampled_from(NAMES),
    origin=st.sampled_from(NAMES),
    destination=st.sampled_from(NAMES),
    about=CHANNELS,
    kind=st.sampled_from([MessageType.REQ, MessageType.REPLY, MessageType.RETURN, "x", None]),
    stream=st.booleans(),
)
def test_whatever_is_accepted_is_in_the_table_and_never_between_hospitals(
    me, neighbor, origin, destination, about, kind, stream
):
    message = headers(origin, destination, *about, kind, stream=stream)
    if MessageRules(me).fault(neighbor, message) is not None or neighbor == me:
        return
    sender, receiver, beside, this = map(parse_party, (origin, destination, neighbor, me))
    assert "server" in (sender.root, receiver.root) or sender.root == receiver.root
    assert "server" in (beside.root, this.root) or beside.root == this.root
    assert beside.root == sender.root or beside.kind in (Kind.SERVER, Kind.SITE)
    assert receiver == this or sender.job == receiver.job is not None
    if kind == MessageType.REQ:
        channel, topic = about
        assert topic in MESSAGES[receiver.kind, sender.kind][channel]
    else:
        assert {(receiver.kind, sender.kind), (sender.kind, receiver.kind)} & set(MESSAGES)


@given(
    st.dictionaries(
        st.text(), st.one_of(st.none(), st.integers(), st.text(), st.lists(st.text())), max_size=8
    )
)
def test_headers_of_any_kind_are_rejected_and_never_an_error(message):
    assert MessageRules("north").fault("server", message) is not None


def test_logs_are_streamed_only_where_the_project_says_so():
    message = headers(f"north.{JOB}", f"server.{JOB}", "aux_communication", "ObjectStreamer.Request")
    for streaming, refused in ((False, True), (True, False)):
        rules = MessageRules("server", accepted_topics(log_streams=streaming))
        assert (rules.fault(f"north.{JOB}", message) is not None) == refused
    assert set(LOG_STREAMS) == {(Kind.SERVER_JOB, Kind.SITE_JOB)}


def test_no_pair_of_hospitals_is_in_the_table():
    of_sites = (Kind.SITE, Kind.SITE_JOB, Kind.TRANSFER)
    pairs = [pair for pair in itertools.product(of_sites, repeat=2) if pair in MESSAGES]
    # Between a hospital's own processes only: the rules see to it that both have one root.
    assert set(pairs) == {
        (Kind.SITE, Kind.SITE_JOB), (Kind.SITE_JOB, Kind.SITE), (Kind.SITE, Kind.TRANSFER),
    }  # fmt: skip
