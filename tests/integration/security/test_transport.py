"""Who gets through to the server at all."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from consilium.provisioning.kit import Kit
from consilium.site_check.credentials import check_credentials
from consilium.site_check.finding import Status
from waiting import wait_until

from .conftest import NO_NAMESPACES
from .federation import LEAD, SERVER_NAME, SITES, read
from .network import remove_orphans
from .raid import MALLORY, STRANGER

pytestmark = pytest.mark.integration
isolated = pytest.mark.skipif(NO_NAMESPACES is not None, reason=f"no network namespaces: {NO_NAMESPACES}")

CONNECT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5):
    print("connected")
"""

SPEAK_TLS = """
import socket, ssl, sys
kit, host, port = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.load_verify_locations(f"{kit}/startup/rootCA.pem")
context.load_cert_chain(f"{kit}/startup/client.crt", f"{kit}/startup/client.key")
context.set_alpn_protocols(["h2"])
with socket.create_connection((host, int(port)), 20) as plain, context.wrap_socket(plain) as secure:
    try:
        secure.sendall(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + b"\\0\\0\\0\\4\\0\\0\\0\\0\\0")
        print(len(secure.recv(100)))
    except OSError:
        print(0)
"""


def run_at(federation, host, program, *words):
    """Run a small program at a host; returns what it printed, its error if it failed."""
    done = subprocess.run(
        federation.network.command(host, [sys.executable, "-c", program, *words]),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


@pytest.fixture
def address(federation):
    return federation.network.address["server"], str(federation.network.port)


@isolated
def test_a_run_that_was_killed_does_not_hinder_the_next():
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    namespace = f"consilium-{ended.pid}-server"
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    with subprocess.Popen(["ip", "netns", "exec", namespace, "sleep", "600"]) as left_over:
        shown = ["ip", "netns", "pids", namespace]
        wait_until(lambda: subprocess.run(shown, capture_output=True, check=True).stdout, "it runs there")
        remove_orphans()
        assert left_over.wait(timeout=60) != 0
    assert not Path("/var/run/netns", namespace).exists()


@isolated
@pytest.mark.parametrize("site", SITES)
def test_a_hospital_reaches_the_servers_one_port_and_nothing_else(federation, address, site):
    host, port = address
    assert run_at(federation, site, CONNECT, host, port) == "connected"
    others = {name: federation.network.address[name] for name in (*SITES, STRANGER) if name != site}
    for target in (*((other, port) for other in others.values()), (host, "22"), ("192.0.2.1", "443")):
        assert "connected" not in run_at(federation, site, CONNECT, *target)


@isolated
@pytest.mark.parametrize("site", SITES)
def test_the_server_reaches_no_port_of_a_hospital(federation, site):
    listening = federation.network.command(
        site,
        [
            sys.executable,
            "-c",
            "import socket; s = socket.create_server(('', 8000)); print('on', flush=True); s.accept()",
        ],
    )
    with subprocess.Popen(listening, stdout=subprocess.PIPE, text=True) as listener:
        try:
            assert listener.stdout.readline() == "on\n"
            assert "timed out" in run_at(
                federation,
                "server",
                CONNECT.replace(", 5)", ", 2)"),
                federation.network.address[site],
                "8000",
            )
        finally:
            listener.kill()


def test_a_certificate_of_the_consortium_is_answered(federation, address):
    assert int(run_at(federation, STRANGER, SPEAK_TLS, str(federation.kits["alone"]), *address)) > 0


@pytest.mark.parametrize("intruder", ["foreign", "expired"])
def test_another_certificate_gets_not_one_byte(federation, address, intruder):
    assert run_at(federation, STRANGER, SPEAK_TLS, str(federation.kits[intruder]), *address) == "0"


def test_a_connection_without_tls_gets_not_one_byte(federation, address):
    for words in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 4096):
        with socket.create_connection((address[0], int(address[1])), timeout=20) as plain:
            try:
                plain.sendall(words)
                assert plain.recv(100) == b""
            except ConnectionError:
                pass


@pytest.mark.parametrize("intruder", ["foreign", "expired"])
def test_a_client_with_another_certificate_does_not_join(intruders, attacks, intruder):
    """It has had its time: all the attacks passed since it started."""
    assert "AuxRunner" in wait_until(lambda: intruders.log_of(intruder), f"{intruder} runs")
    joined = [
        line
        for line in intruders.log_of(SERVER_NAME).splitlines()
        if "New client" in line and MALLORY not in line
    ]
    assert len(joined) == len(SITES)
    assert "registered" not in intruders.log_of(intruder).replace("registered aux handler", "")
    with intruders.session(LEAD) as session:
        assert intruders.connected(session) == set(SITES)


@pytest.mark.parametrize(
    ("intruder", "reason"),
    [("foreign", "signature"), ("expired", "expired"), ("tampered", "fed_client.json")],
)
def test_the_sites_check_says_what_is_wrong_with_a_kit(federation, intruder, reason):
    findings = check_credentials(Kit(federation.kits[intruder]))
    failed = [finding for finding in findings if finding.status is Status.FAILED]
    assert any(reason in f"{finding.seen} {finding.remedy}" for finding in failed), failed


def test_a_kit_with_a_changed_file_does_not_start(intruders):
    output = intruders.kits["tampered"] / "output.txt"
    wait_until(
        lambda: "The following files are not secure content.\nfed_client.json" in read(output), "refused"
    )
    assert "conn_manager" not in intruders.log_of("tampered")
