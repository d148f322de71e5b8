"""Everything that FLARE answers to, sent to a running federation by everybody who should not send it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .federation import SERVER_NAME, Federation
from .network import SERVER

STRANGER = "stranger"
"""A host that is no participant's."""

MALLORY = "mallory"
"""A fourth hospital of the consortium, which only ever attacks."""

PROJECT = "brain_tumor_consortium"

NAMED = {
    "client_command": {"abort", "abort_task", "check_status", "configure_job_log", "show_stats", "shutdown"},
    "server_command": {"abort", "app_command", "get_task", "handle_dead_job", "show_stats", "submit_update"},
    "server_parent_listener": {"get_clients", "heartbeat", "update_run_status"},
    "hci_channel": {"command"},
    "aux_communication": {
        "fed.event",
        "__end_run__",
        "__do_task__",
        "__abort_task__",
        "consilium.job_ended",
        "consilium.task_ready",
    },
    "download_service__": {"download_service__download", "download_service__source_failure"},
    "workspace_transfer": {"prepare_download", "publish_results"},
}
"""What FLARE registers as `*`, by the names that it knows there, and what it has only while a job runs."""

STREAMED = ("aux_communication", "client_command", "download_service__", "hci_channel", "server_command")
"""Channels whose messages come as streams as well."""


def raid(federation: Federation, running: str) -> dict[str, dict[str, Any]]:
    """Let all attackers send all messages; returns what each sent and was answered.

    Args:
        federation: It is attacked.
        running: Id of a job that runs there; its processes are attacked as well.
    """
    thief, stranger = (str(uuid.uuid4()) for _ in range(2))
    messages = list(_messages(federation.root / "census", running))
    server = f"grpc://{federation.network.address['server']}:{federation.network.port}"
    kit, of_mallory = str(federation.kits["alone"]), str(federation.kits[MALLORY])
    nowhere = "tcp://127.0.0.1:9"
    attackers = {
        "another hospital": (STRANGER, MALLORY, of_mallory, server),
        "a thief with a hospital's kit": (STRANGER, f"north.{thief}", kit, server),
        "a stranger on loopback": ("north", f"north.{stranger}", None, nowhere),
        "a thief on loopback": ("north", f"north.{thief}", kit, nowhere),
        "a stranger on the server's loopback": (SERVER, f"server.{stranger}", None, nowhere),
    }
    sent = {}
    for attacker, (host, name, kit_of, url) in attackers.items():
        order = {"name": name, "kit": kit_of, "url": url, "project": PROJECT, "server": SERVER_NAME}
        order |= {"register": attacker == "another hospital", "messages": messages}
        if "loopback" in attacker:
            port = _loopback_port(federation, SERVER_NAME if host == SERVER else host)
            order["parent"] = f"tcp://127.0.0.1:{port}"
        command = [sys.executable, str(Path(__file__).with_name("attacker.py")), json.dumps(order)]
        process = subprocess.Popen(
            federation.network.command(host, command),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        sent[attacker] = name, process
    done = {}
    for attacker, (name, process) in sent.items():
        output, errors = process.communicate()
        assert process.returncode == 0, errors
        done[attacker] = {**json.loads(output.splitlines()[-1]), "name": name, "messages": messages}
    return done


def _messages(census: Path, job: str) -> Iterator[list[str | None]]:
    """Yield form, origin if it is forged, target, channel and topic of every message."""
    everything = {channel: set(topics) for channel, topics in NAMED.items()}
    for path in census.glob("*.jsonl"):
        for line in path.read_text().splitlines():
            _, _, channel, topic = json.loads(line)
            everything.setdefault(channel, set()).add(topic)
    for target in ("north", f"north.{job}", "server", f"server.{job}"):
        for channel, topics in everything.items():
            for topic in sorted(topics - {"*"}):
                yield ["plain", None, target, channel, topic]
                if channel in STREAMED:
                    yield ["stream", None, target, channel, topic]
    for origin, target in (("server", "north"), (f"server.{job}", f"north.{job}"), ("north", f"north.{job}")):
        yield ["forged", origin, target, "admin", "sys.shell"]
        yield ["forged", origin, target, "client_command", "abort"]
        yield ["forged", origin, target, "cellnet.channel", "bulk"]


def _loopback_port(federation: Federation, participant: str) -> int:
    """Return the port on which a participant's parent process listens for its jobs, as its log says."""
    return int(re.findall(r"PASSIVE tcp://[^:]*:(\d+)\]", federation.log_of(participant))[-1])
