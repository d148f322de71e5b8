"""Who may send what to whom, tried on running processes: everything that FLARE answers to, from everybody."""

from __future__ import annotations

import json
from collections import defaultdict

import pytest
from nvflare.fuel.f3.streaming.stream_const import STREAM_ERROR_TOPIC

from consilium.guard.message_table import MESSAGES, NOT_PASSED_ON
from consilium.guard.parties import Kind, parse_party
from consilium.guard.site_commands import COMMANDS

from .federation import SERVER_NAME, SITES

pytestmark = pytest.mark.integration

NET_MANAGER = {
    "bulk_item", "bulk_test", "cells", "change_root", "comm_config", "config_vars", "conns", "echo",
    "heartbeat", "list_pools", "msg_stats", "peers", "process_info", "route", "show_pool", "speed",
    "start_route", "stop", "stop_cell", "stress", "url_use",
}  # fmt: skip
EVERYWHERE = {
    "_net_manager": NET_MANAGER,
    "aux_communication": {"*"},
    "cellnet.channel": {"bulk", "bye"},
    "credential_manager": {"key_exchange"},
    "sm__STREAM": {"sm__ACK", "sm__DATA", "sm__ERROR"},
    "return_only": {"*"},
}
LARGE_OBJECTS = {"download_service__": {"download_service__download", "download_service__source_failure"}}
KNOWN = {
    Kind.SITE: {**EVERYWHERE, "admin": {"*"}, "server_command": {"get_task", "submit_update"}},
    Kind.SITE_JOB: {
        **EVERYWHERE,
        **LARGE_OBJECTS,
        "client_command": {"*"},
        "server_command": {"get_task", "submit_update"},
    },
    Kind.SERVER: {
        **EVERYWHERE,
        **LARGE_OBJECTS,
        "hci_channel": {"*"},
        "server_parent_listener": {"*"},
        "task": {"challenge", "heart_beat", "quit", "register", "report_job_failure"},
    },
    Kind.SERVER_JOB: {**EVERYWHERE, **LARGE_OBJECTS, "server_command": {"*"}},
}
"""All that FLARE 2.9.0 registers in each kind of process. One that isn't here is to be looked at, and then
listed here, and in the table of messages if somebody needs it."""


def registered(census):
    """Kind of process -> channel -> topics, as the processes wrote them down."""
    found = defaultdict(lambda: defaultdict(set))
    for kind, cell, channel, topic in rows(census):
        party = parse_party(cell)
        if kind in ("request", "stream") and party is not None:
            found[party.kind][channel].add(topic)
    return found


def rows(census):
    for path in census.glob("*.jsonl"):
        for line in path.read_text().splitlines():
            yield tuple(json.loads(line))


def test_flare_answers_to_what_was_looked_at_and_nothing_else(federation, job, census):
    found = registered(census)
    assert set(found) == set(KNOWN)
    more = {
        (kind, channel, topic)
        for kind, channels in found.items()
        for channel, topics in channels.items()
        for topic in topics - KNOWN[kind].get(channel, set())
    }
    assert more == set()


def test_every_command_of_flare_to_a_site_was_looked_at(federation, job, census):
    commands = {topic for kind, _, _, topic in rows(census) if kind == "command"}
    assert commands == set(COMMANDS) | {
        "sys.configure_site_log", "sys.report_env", "sys.shell", "train.configure_job_log",
        "train.delete_run", "train.restart", "train.shutdown",
    }  # fmt: skip


@pytest.mark.parametrize("attacker", ["another hospital", "a thief with a hospital's kit"])
def test_nothing_but_the_table_s_is_answered(attacks, attacker):
    raid = attacks.raids[attacker]
    assert raid["connected"]
    me = parse_party(raid["name"])
    answered = [
        (message, answer)
        for message, answer in zip(raid["messages"], raid["answers"], strict=True)
        if answer is not None and not _listed(me, *message[2:])
    ]
    assert answered == []


@pytest.mark.parametrize("attacker", ["another hospital", "a thief with a hospital's kit"])
def test_each_rejected_message_is_on_record_with_who_sent_it(federation, attacks, attacker):
    raid = attacks.raids[attacker]
    me = parse_party(raid["name"])
    entries = [
        line for line in federation.audit_of(SERVER_NAME).splitlines() if "[A:message_rejected]" in line
    ]
    missing = [
        message
        for message in raid["messages"]
        if not _listed(me, *message[2:])
        and not any(_is_about(entry, raid["name"], message) for entry in entries)
    ]
    assert missing == []


def test_a_job_that_ran_meanwhile_continues_until_the_lead_aborts_it(attacks):
    assert attacks.running == {"during": "RUNNING", "after": "FINISHED:ABORTED"}


def test_nothing_of_another_hospital_s_messages_reached_a_site(federation, attacks):
    for site in SITES:
        assert "mallory" not in federation.audit_of(site)
        assert "[A:sys.shell]" not in federation.audit_of(site)


@pytest.mark.parametrize(
    "attacker", ["a stranger on loopback", "a thief on loopback", "a stranger on the server's loopback"]
)
def test_a_stranger_on_the_machine_gets_no_connection(federation, attacks, attacker):
    raid = attacks.raids[attacker]
    assert not raid["connected"]
    assert raid["answers"] == []
    participant = SERVER_NAME if "server" in attacker else "north"
    assert any(
        "[A:connection_rejected]" in line and raid["name"] in line
        for line in federation.audit_of(participant).splitlines()
    )


@pytest.mark.parametrize("participant", [SERVER_NAME, *SITES])
def test_neither_a_job_nor_its_stats_nor_its_abort_has_a_message_rejected(
    federation, attacks, job, participant
):
    """What is in the audit logs comes from the attackers alone."""
    logs = [*federation.kits[participant].rglob("audit.log"), *federation.kits[participant].rglob("log.txt")]
    entries = [
        line
        for log in logs
        for line in log.read_text(errors="replace").splitlines()
        if "message_rejected" in line or "connection_rejected" in line
    ]
    attackers = [raid["name"] for raid in attacks.raids.values()]
    assert [line for line in entries if not any(name in line for name in attackers)] == []


def _listed(me, target, channel, topic):
    """Whether an honest process in the attacker's place might send this, so that it may well be answered."""
    receiver = parse_party(target)
    if (receiver.kind, me.kind) in NOT_PASSED_ON and topic == STREAM_ERROR_TOPIC:
        return True
    return topic in MESSAGES.get((receiver.kind, me.kind), {}).get(channel, ()) and (
        receiver.job is None or receiver.job == me.job
    )


def _is_about(entry, name, message):
    form, origin, target, channel, topic = message
    topic = "admin" if channel == "admin" else topic
    words = [f"[U:{name}]", f"from {origin or name} ", f"to {target} "]
    stream = form == "stream"
    words += [f"stream of {channel} with {topic}"] if stream else [f"channel {channel} topic {topic}"]
    return all(word in entry for word in words)
