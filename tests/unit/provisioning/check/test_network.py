import json
import socket

import pytest
from nvflare.lighter.utils import (
    Identity,
    generate_cert,
    generate_keys,
    load_private_key,
    serialize_cert,
    serialize_pri_key,
)

from consilium.provisioning.check import network
from consilium.provisioning.check.finding import Status
from consilium.provisioning.check.kit import Kit
from consilium.provisioning.check.network import check_network

from .federation import SERVER, SITE, aim, free_port, grpc_server, listener


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(network, "TIMEOUT", 1.0)
    for name in ("grpc_proxy", "https_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def steps(kit, *, offline=False):
    return list(check_network(kit, offline=offline))


def test_a_grpc_server_of_the_federation_is_reached(root, kits):
    with grpc_server(kits, ca=kits / SITE / "startup" / "rootCA.pem") as port:
        findings = steps(aim(root, port))
    assert [finding.status for finding in findings] == [Status.OK] * 3
    assert findings[2].seen == "TLSv1.3, both certificates verified"


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


def test_a_silent_plain_tcp_listener_is_told_from_the_server(root, refused):
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
        (SERVER, 0, "not in force: certificate has expired", "date -u"),
    ],
)
def test_a_server_certificate_that_does_not_fit_is_explained(
    root, kits, tmp_path, refused, host, days, seen, remedy
):
    with listener(server_kit(kits, tmp_path / "kits", host=host, days=days)) as port:
        refused(steps(aim(root, port))[2], seen, remedy)


def test_a_kit_without_encryption_is_refused(root, kits, refused):
    with listener() as port:
        kit = aim(root, port, connection_security="clear")
        refused(steps(kit)[2], "unencrypted", "connection_security mtls")


def test_a_proxy_that_grpc_would_use_is_told_without_its_password(root, kits, monkeypatch, refused):
    monkeypatch.setenv("https_proxy", "http://user:secret@proxy:3128")
    with grpc_server(kits, ca=kits / SITE / "startup" / "rootCA.pem") as port:
        findings = steps(aim(root, port))
    refused(findings[1], "https_proxy is set", f"export no_proxy={SERVER}", Status.WARNING)
    assert findings[2].status is Status.OK
    assert "secret" not in str(findings)


@pytest.mark.parametrize(
    ("name", "offline", "reason"), [(SITE, True, "--offline"), (SERVER, False, "server's kit")]
)
def test_what_is_not_checked_says_why(kits, name, offline, reason):
    findings = steps(Kit(kits / name), offline=offline)
    assert [finding.status for finding in findings] == [Status.SKIPPED] * 3
    assert all(reason in finding.seen for finding in findings)
