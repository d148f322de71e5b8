import base64
import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress

import pytest
from nvflare.lighter.utils import (
    Identity,
    generate_cert,
    generate_keys,
    load_private_key,
    serialize_cert,
    serialize_pri_key,
)

from consilium.provisioning.kit import Kit
from consilium.site_check import network
from consilium.site_check.finding import Status
from consilium.site_check.network import check_network
from consilium.site_check.proxy import proxy_for

from .federation import SERVER, SITE, aim, free_port, grpc_server, listener


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(network, "TIMEOUT", 1.0)
    for name in [name for name in os.environ if "proxy" in name.lower()]:
        monkeypatch.delenv(name)


def steps(kit, *, offline=False):
    return list(check_network(kit, offline=offline))


def test_a_grpc_server_of_the_federation_is_reached(root, kits):
    with grpc_server(kits, ca=kits / SITE / "startup" / "rootCA.pem") as port:
        findings = steps(aim(root, port))
    assert [finding.status for finding in findings] == [Status.OK] * 3
    assert findings[2].seen.startswith("TLSv1.3, both certificates verified; whether the server has disabled")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("error:client_quit Client 'north' is disabled", Status.FAILED),
        ("Client 'north' is disabled\nSuccessfully registered client:north for project x", Status.OK),
        ("Successfully registered client:north for project x", Status.OK),
    ],
)
def test_a_site_whose_log_says_that_it_was_disabled_is_reported(root, kits, words, status):
    (root / "log.txt").write_text(f"... {words}\n")
    with grpc_server(kits, ca=kits / SITE / "startup" / "rootCA.pem") as port:
        finding = steps(aim(root, port))[2]
    assert finding.status is status
    assert status is Status.OK or "enable-client" in finding.remedy


def test_a_tls_server_that_waits_for_us_is_reached_too(root, kits):
    with listener(kits, ca=kits / SITE / "startup" / "rootCA.pem") as port:
        assert steps(aim(root, port))[2].status is Status.OK


def test_a_server_that_knows_another_ca_refuses_us(root, kits, other_kits, refused):
    with grpc_server(kits, ca=other_kits / SITE / "startup" / "rootCA.pem") as port:
        refused(steps(aim(root, port))[2], "certificate", "certificate is of the present federation")


def test_a_name_that_is_not_known_is_the_first_failure(root, refused):
    findings = steps(aim(root, 8102, host="no-such-host.invalid"))
    refused(findings[0], "no-such-host.invalid can't be resolved", "getent hosts no-such-host.invalid")
    assert [finding.status for finding in findings[1:]] == [Status.SKIPPED] * 2


def test_a_port_at_which_nobody_listens_refuses(root, refused):
    port = free_port()
    findings = steps(aim(root, port))
    refused(findings[1], "refuses connections", f"nc -vz {SERVER} {port}")
    assert findings[2].status is Status.SKIPPED


def test_a_firewall_that_drops_packets_is_named(root, monkeypatch, refused):
    def dropped(*_, **__):
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", dropped)
    refused(
        steps(aim(root, 8102))[1], "a firewall drops", f"allow outbound TCP from this machine to {SERVER}"
    )


def test_a_silent_plain_tcp_listener_is_not_taken_for_the_server(root, refused):
    with listener() as port:
        refused(steps(aim(root, port))[2], "accepts TCP but does not answer TLS", "without inspection")


def test_a_service_that_does_not_speak_tls_is_named(root, refused):
    with listener(says=b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        refused(steps(aim(root, port))[2], "does not speak TLS", "whether the port is right")


def test_a_proxy_that_opens_tls_is_known_by_its_issuer(root, other_kits, refused):
    with listener(other_kits) as port:
        finding = steps(aim(root, port))[2]
    refused(finding, "issued by CN=elsewhere, not by this kit's CA", "exempt localhost:")
    assert "SSL inspection" in finding.seen


def server_kit(kits, folder, *, host, days):
    """A server certificate of the federation for another name, or another time."""
    state = json.loads((kits.parent / "state" / "cert.json").read_text())
    key, public = generate_keys()
    certificate = generate_cert(
        Identity(host, "coordination"),
        Identity("consilium"),
        load_private_key(state["root_pri_key"]),
        public,
        valid_days=days,
        server_default_host=host,
    )
    startup = folder / SERVER / "startup"
    startup.mkdir(parents=True)
    (startup / "server.crt").write_bytes(serialize_cert(certificate))
    (startup / "server.key").write_bytes(serialize_pri_key(key))
    return folder


@pytest.mark.parametrize(
    ("host", "days", "seen", "remedy"),
    [
        ("elsewhere.example", 9, "bears another name", "under which name"),
        (SERVER, 0, "not valid now: certificate has expired", "date -u"),
    ],
)
def test_a_server_certificate_that_does_not_fit_is_explained(
    root, kits, tmp_path, refused, host, days, seen, remedy
):
    with listener(server_kit(kits, tmp_path / "kits", host=host, days=days)) as port:
        refused(steps(aim(root, port))[2], seen, remedy)


def test_a_kit_without_encryption_is_rejected(root, kits, refused):
    with listener() as port:
        kit = aim(root, port, connection_security="clear")
        refused(steps(kit)[2], "unencrypted", "connection_security mtls")


@pytest.fixture
def through():
    """A proxy that tunnels, or answers something else; yields its port and what it was asked."""
    with ExitStack() as stack:

        def start(answer=b"HTTP/1.1 200 Connection established\r\n\r\n"):
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            asked = []
            threading.Thread(target=_tunnel, args=(listening, answer, asked), daemon=True).start()
            return listening.getsockname()[1], asked

        yield start


def _tunnel(listening, answer, asked):
    with suppress(OSError):
        while True:
            client, _ = listening.accept()
            asked.append(client.recv(4096))
            client.sendall(answer)
            if b" 200 " not in answer:
                client.close()
                continue
            place = asked[-1].split()[1].decode().rsplit(":", 1)
            server = socket.create_connection((place[0], int(place[1])))
            for here, there in ((client, server), (server, client)):
                threading.Thread(target=_pump, args=(here, there), daemon=True).start()


def _pump(here, there):
    with suppress(OSError):
        while piece := here.recv(4096):
            there.sendall(piece)
        there.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("variable", ["grpc_proxy", "https_proxy", "http_proxy"])
def test_a_dead_proxy_keeps_grpc_from_a_server_that_is_reached_without_it(
    root, kits, monkeypatch, refused, variable
):
    monkeypatch.setenv(variable, f"http://user:secret@127.0.0.1:{free_port()}")
    with grpc_server(kits, ca=kits / SITE / "startup" / "rootCA.pem") as port:
        findings = steps(aim(root, port))
        refused(findings[1], f"{variable} names the proxy", f"export no_proxy={SERVER}")
        assert "secret" not in str(findings)
        monkeypatch.setenv("no_proxy", SERVER)
        assert [finding.status for finding in steps(aim(root, port))] == [Status.OK] * 3


def test_a_proxy_that_tunnels_leads_to_the_server(root, kits, monkeypatch, through):
    proxy, asked = through()
    monkeypatch.setenv("https_proxy", f"http://user:se%20cret@127.0.0.1:{proxy}")
    with grpc_server(kits, ca=kits / SITE / "startup" / "rootCA.pem") as port:
        findings = steps(aim(root, port))
    assert [finding.status for finding in findings] == [Status.SKIPPED, Status.OK, Status.OK]
    assert base64.b64encode(b"user:se cret") in asked[0]


@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"what?\r\n\r\n"])
def test_a_proxy_that_refuses_is_quoted(root, monkeypatch, refused, through, answer):
    proxy, _ = through(answer)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy}")
    said = answer.partition(b"\r\n")[0].decode()
    refused(steps(aim(root, 8102))[1], said, "let it tunnel (CONNECT)")


CONNECT = """
import grpc, sys, threading
failed = threading.Event()
channel = grpc.insecure_channel(sys.argv[1])
channel.subscribe(
    lambda state: state is grpc.ChannelConnectivity.TRANSIENT_FAILURE and failed.set(), try_to_connect=True
)
failed.wait(4)
"""
P = "http://127.0.0.1:{port}"
RULES = [
    ({"grpc_proxy": P}, "h.example"),
    ({"HTTPS_PROXY": P, "all_proxy": P, "ALL_PROXY": P, "HTTP_PROXY": P}, "h.example"),
    ({"grpc_proxy": "", "https_proxy": P}, "h.example"),
    ({"https_proxy": "socks5://127.0.0.1:{port}", "http_proxy": P}, "h.example"),
    ({"https_proxy": P, "no_proxy": "*"}, "h.example"),
    ({"https_proxy": P, "no_proxy": "x, Example"}, "h.example"),
    ({"https_proxy": P, "no_proxy": "ample"}, "h.example"),
    ({"https_proxy": P, "NO_PROXY": "h.example"}, "h.example"),
    ({"https_proxy": P, "no_grpc_proxy": "x", "no_proxy": "h.example"}, "h.example"),
    ({"https_proxy": P, "no_proxy": "10.0.0.0/8"}, "10.1.2.3"),
    ({"https_proxy": P}, "127.0.0.1"),
]
"""Environments, and the server asked for; at most of them the rules of other programs say otherwise."""


@pytest.mark.parametrize(("environment", "host"), RULES)
def test_the_rules_are_those_of_grpc_itself(monkeypatch, through, environment, host):
    port, asked = through(b"HTTP/1.1 503 Unavailable\r\n\r\n")
    for name, value in environment.items():
        monkeypatch.setenv(name, value.format(port=port))
    subprocess.run([sys.executable, "-c", CONNECT, f"{host}:1"], check=True, capture_output=True, timeout=60)
    assert (proxy_for(host) is not None) == bool(asked)


@pytest.mark.parametrize(
    ("name", "offline", "reason"), [(SITE, True, "--offline"), (SERVER, False, "server's kit")]
)
def test_what_is_not_checked_says_why(kits, name, offline, reason):
    findings = steps(Kit(kits / name), offline=offline)
    assert [finding.status for finding in findings] == [Status.SKIPPED] * 3
    assert all(reason in finding.seen for finding in findings)
