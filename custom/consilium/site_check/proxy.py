"""Proxy that gRPC uses to reach the server, by the rules of gRPC 1.85.

They differ from those of curl and of most programs: names of variables in lower case only, `all_proxy` never,
the first of three variables that is set and no other, proxies with `http://` only, and entries of `no_proxy`
that are domains, addresses or networks, but not `*` and no ports.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
_EXCEPTIONS = ("no_grpc_proxy", "no_proxy")
_DEFAULT_PORT = 443
_LONGEST_ANSWER = 8192


class ProxyError(OSError):
    """A reachable proxy that does not lead to the server."""


@dataclass(frozen=True)
class Proxy:
    """A proxy that tunnels (HTTP CONNECT).

    Attributes:
        variable: Environment variable that names it.
        host: Its name or address.
        port: Its TCP port.
        login: User and password as the variable has them; empty for none.
    """

    variable: str
    host: str
    port: int
    login: str = ""

    @property
    def place(self) -> str:
        """Where it is, without the password."""
        return f"{self.host}:{self.port}"

    def open(self, host: str, port: int, timeout: float) -> socket.socket:
        """Connect to a server through it, as gRPC does.

        Args:
            host: The server's name.
            port: Its port.
            timeout: Longest wait, in s.

        Raises:
            ProxyError: If it rejects the connection, or answers something else.
            OSError: If it is not reached.
        """
        connection = socket.create_connection((self.host, self.port), timeout=timeout)
        try:
            login = base64.b64encode(unquote(self.login).encode()).decode()
            lines = [f"CONNECT {host}:{port} HTTP/1.1", f"Host: {host}:{port}"]
            lines += [f"Proxy-Authorization: Basic {login}"] if self.login else []
            connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            answer = b""
            while b"\r\n\r\n" not in answer and len(answer) < _LONGEST_ANSWER:
                piece = connection.recv(1)  # what comes after the answer is the server's
                if not piece:
                    break
                answer += piece
            words = answer.partition(b"\r\n")[0].split()
            if len(words) < 2 or words[1] != b"200":
                said = answer.partition(b"\r\n")[0].decode(errors="replace")[:80] or "nothing"
                raise ProxyError(f"it answers {said!r} to CONNECT {host}:{port}")
        except BaseException:  # an interrupt, too, leaves no connection open
            connection.close()
            raise
        return connection


def proxy_for(host: str) -> Proxy | None:
    """Return the proxy that gRPC uses for a server; None if it connects directly.

    Args:
        host: The server's name or address.
    """
    found = next(((name, os.environ[name]) for name in _PROXIES if name in os.environ), None)
    if found is None or _is_excepted(host):
        return None
    variable, value = found
    try:
        parts = urlsplit(value)
        if parts.scheme != "http" or not parts.hostname:
            return None
        login = parts.netloc.rpartition("@")[0]
        return Proxy(variable, parts.hostname, parts.port or _DEFAULT_PORT, login)
    except ValueError:
        return None


def _is_excepted(host: str) -> bool:
    exceptions = next((os.environ[name] for name in _EXCEPTIONS if name in os.environ), "")
    return any(_covers(entry.strip(), host) for entry in exceptions.split(",") if entry.strip())


def _covers(entry: str, host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    name, domain = host.lower(), entry.lower().lstrip(".")
    return name == domain or name.endswith(f".{domain}")
