"""Check of the connection to the server: name, TCP, TLS with the kit's certificate."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from cryptography import x509
from nvflare.apis.fl_constant import ConnectionSecurity

from consilium.errors import ConfigurationError
from consilium.provisioning.communication import COMM_CONFIG
from consilium.provisioning.kit import Endpoint, Kit
from consilium.records.site_connection import is_shut_out
from consilium.site_check.finding import SiteCheck, SiteFinding
from consilium.site_check.proxy import Proxy, proxy_for

TIMEOUT = 5.0
"""Longest wait for each step, in s."""

DNS = SiteCheck("network.dns", "Server's name is known")
TCP = SiteCheck("network.tcp", "Server's port is open")
TLS = SiteCheck("network.tls", "Server and site trust each other")

_NAME_OVERRIDE = "grpc.ssl_target_name_override"
_REFUSAL_WAIT = 1.0

_NOT_YET_VALID, _EXPIRED = 9, 10
_OTHER_NAME = (62, 64)
"""OpenSSL's verification codes (x509_vfy.h): the dates, and a host name or address that doesn't match."""

_ALERT = "ALERT"
"""Part of OpenSSL's symbol for an alert that the other end sent, such as `TLSV1_ALERT_UNKNOWN_CA`."""
# Connection preface and an empty SETTINGS frame of HTTP/2 (RFC 9113, section 3.4), to which a gRPC server
# answers.
_HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


def check_network(kit: Kit, *, offline: bool) -> Iterator[SiteFinding]:
    """Check each step to the server until one fails; the steps after it are skipped."""
    reason = _reason_to_skip(kit, offline)
    if reason:
        for subject in (DNS, TCP, TLS):
            yield subject.skipped(reason)
        return
    server = kit.endpoint
    proxy = proxy_for(server.host) if server.scheme == "grpc" else None
    if proxy is not None:
        yield DNS.skipped(f"gRPC connects through the proxy of {proxy.variable}, which must know the name")
        reached = _check_proxy(server, proxy)
    else:
        named = _check_name(server)
        yield named
        if named.remedy:
            yield TCP.skipped("the server's name is not known")
            yield TLS.skipped("the server's name is not known")
            return
        reached = _check_port(server)
    yield reached
    if reached.status == "failed":
        yield TLS.skipped("the server can't be reached")
        return
    yield _check_handshake(kit)


def _reason_to_skip(kit: Kit, offline: bool) -> str | None:
    if offline:
        return "asked for with --offline"
    if kit.kind == "server":
        return "this is the server's kit: run the check with a hospital's kit to see whether it is reached"
    return None


def _check_name(server: Endpoint) -> SiteFinding:
    try:
        found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except OSError as error:
        return DNS.failed(
            f"{server.host} can't be resolved: {error.strerror}",
            f"try: getent hosts {server.host}; let the name server know it, or add its address to /etc/hosts",
        )
    addresses = sorted({str(address[4][0]) for address in found})
    return DNS.ok(f"{server.host} is {', '.join(addresses)}", data={"addresses": addresses})


def _check_port(server: Endpoint) -> SiteFinding:
    place = f"{server.host}:{server.port}"
    try:
        socket.create_connection((server.host, server.port), timeout=TIMEOUT).close()
    except TimeoutError:
        return TCP.failed(
            f"no answer from {place} within {TIMEOUT:g} s: on the way a firewall drops the packets",
            f"allow outbound TCP from this machine to {place}; try: nc -vz {server.host} {server.port}",
        )
    except ConnectionRefusedError:
        return TCP.failed(
            f"{place} refuses connections: the machine is reached, but nothing listens there, or a firewall "
            "rejects it",
            f"ask the project admin whether the server runs; try: nc -vz {server.host} {server.port}",
        )
    except OSError as error:
        return TCP.failed(
            f"{place} can't be reached: {error.strerror or error}",
            f"check this machine's network and routes; try: ip route get {server.host}",
        )
    return TCP.ok(f"{place} is open")


def _check_proxy(server: Endpoint, proxy: Proxy) -> SiteFinding:
    """Check the way through a proxy: whatever a direct connection can do, gRPC doesn't try it."""
    place = f"{server.host}:{server.port}"
    try:
        proxy.open(server.host, server.port, TIMEOUT).close()
    except OSError as error:
        reason = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        return TCP.failed(
            f"{proxy.variable} names the proxy {proxy.place}, through which gRPC connects; it does not lead "
            f"to {place}: {reason}",
            f"without the proxy: export no_proxy={server.host} in the shell that runs startup/start.sh; with "
            f"it: let it tunnel (CONNECT) to {place}",
        )
    return TCP.ok(f"{place} is open through the proxy {proxy.place} of {proxy.variable}")


def _open(server: Endpoint) -> socket.socket:
    """Connect to the server as FLARE does."""
    proxy = proxy_for(server.host) if server.scheme == "grpc" else None
    if proxy is not None:
        return proxy.open(server.host, server.port, TIMEOUT)
    return socket.create_connection((server.host, server.port), timeout=TIMEOUT)


def _check_handshake(kit: Kit) -> SiteFinding:
    server = kit.endpoint
    place = f"{server.host}:{server.port}"
    if server.security == ConnectionSecurity.CLEAR:
        return TLS.failed(
            f"{kit.startup_file} says connection_security {server.security!r}: updates would go unencrypted",
            "ask the project admin for a kit with connection_security mtls",
        )
    try:
        context = _client_context(kit)
    except (OSError, ConfigurationError, ValueError) as error:
        return TLS.skipped(f"the kit's certificate and key can't be loaded ({type(error).__name__})")
    try:
        with (
            _open(server) as connection,
            context.wrap_socket(connection, server_hostname=_name_in_certificate(kit)) as secure,
        ):
            version = secure.version()
            accepted = _is_accepted(secure)
    except ssl.SSLCertVerificationError as error:
        return _explain_untrusted(server, error)
    except (ssl.SSLError, OSError) as error:
        return _explain_broken(place, error)
    if not accepted:
        return TLS.failed(
            f"{place} closed the connection after this kit's certificate was shown",
            "ask the project admin whether this site's certificate is of the present federation, or revoked",
        )
    if is_shut_out(kit.root, kit.site_name):
        return TLS.failed(
            f"{place} answers, but by log.txt it let this site in no more: it was disabled or removed there",
            "ask the project admin whether the site is disabled; `nvflare system enable-client` undoes it",
        )
    mutual = "both certificates" if server.security == ConnectionSecurity.MTLS else "the server's certificate"
    return TLS.ok(
        f"{version}, {mutual} verified; whether the server has disabled this site shows only when it starts, "
        "in log.txt",
        data={"protocol": version},
    )


def _name_in_certificate(kit: Kit) -> str:
    """Return the name that gRPC looks for in the server's certificate: the server's, or one set instead."""
    try:
        options = dict(kit.read_json(f"local/{COMM_CONFIG}")["grpc"]["options"])
    except (ConfigurationError, LookupError, TypeError, ValueError):
        options = {}
    return str(options.get(_NAME_OVERRIDE, kit.endpoint.host))


def _client_context(kit: Kit) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(kit.root / kit.ca_file)
    if kit.endpoint.security == ConnectionSecurity.MTLS:
        # An encrypted key would make OpenSSL ask on the terminal; FLARE can't use one anyway.
        context.load_cert_chain(kit.root / kit.certificate_file, kit.root / kit.key_file, password="")
    if kit.endpoint.scheme == "grpc":
        context.set_alpn_protocols(["h2"])
    else:
        context.check_hostname = False  # as FLARE's other drivers do: the server is known by its CA
    return context


def _is_accepted(secure: ssl.SSLSocket) -> bool:
    """Whether the server keeps the connection: with TLS 1.3 it checks our certificate after our handshake."""
    secure.settimeout(_REFUSAL_WAIT)
    if secure.selected_alpn_protocol() == "h2":
        secure.sendall(_HTTP2_HELLO)
    try:
        return bool(secure.recv(1))
    except TimeoutError:
        return True
    except ConnectionResetError:
        return False


def _explain_untrusted(server: Endpoint, error: ssl.SSLCertVerificationError) -> SiteFinding:
    place = f"{server.host}:{server.port}"
    reason = error.verify_message
    if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
        return TLS.failed(
            f"the certificate of {place} is not valid now: {reason}",
            "compare this machine's clock (`date -u`) with a clock on the wall; if it is right, the "
            "project admin has to renew the server's certificate",
        )
    if error.verify_code in _OTHER_NAME:
        return TLS.failed(
            f"the certificate of {place} is of the federation's CA but bears another name: {reason}",
            "ask the project admin under which name the server is to be reached, and for a kit with it "
            "(host_names and connect_to in docs/provisioning.md)",
        )
    issuer = _issuer_seen(server)
    return TLS.failed(
        f"the certificate of {place} was issued by {issuer}, not by this kit's CA: a proxy that opens TLS "
        "(SSL inspection) is in between, or this is another server",
        f"exempt {place} from SSL inspection; if there is none, ask the project admin whether the kit is "
        "current",
        data={"issuer": issuer},
    )


def _explain_broken(place: str, error: OSError) -> SiteFinding:
    reason = getattr(error, "reason", None) or error.strerror or str(error)
    if isinstance(error, TimeoutError):
        return TLS.failed(
            f"{place} accepts TCP but does not answer TLS within {TIMEOUT:g} s: it is another service, or a "
            "firewall holds TLS back",
            f"allow TLS to {place} without inspection, and ask the project admin whether the port is right",
        )
    if _ALERT in reason:
        return TLS.failed(
            f"{place} rejects this kit's certificate ({reason})",
            "ask the project admin whether this site's certificate is of the present federation, or revoked",
        )
    return TLS.failed(
        f"{place} does not speak TLS ({reason}): another service or a proxy answers there, or a firewall "
        "cuts TLS off",
        f"allow TLS to {place} without inspection, and ask the project admin whether the port is right",
    )


def _issuer_seen(server: Endpoint) -> str:
    """Who issued the certificate that the server shows; asked without trusting it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with _open(server) as connection, context.wrap_socket(connection) as secure:
            shown = secure.getpeercert(binary_form=True) or b""
        return x509.load_der_x509_certificate(shown).issuer.rfc4514_string()
    except (OSError, ValueError):
        return "an unknown authority"
