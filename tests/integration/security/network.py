"""One network namespace for each host of a federation, between which only the server's port is open."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

SERVER = "server"
_NAME = re.compile(r"consilium-(\d+)-")
_HEADER_BYTES = 66
"""Of a frame: Ethernet's, those of IP, and those of TCP with its time stamps."""

_SEGMENT_BYTES = 1448
"""What the longest frame on these cables carries."""


def missing() -> str | None:
    """Say what keeps this machine from having network namespaces; None if nothing does."""
    if shutil.which("ip") is None:
        return "`ip` (iproute2) is not installed"
    if os.geteuid() != 0:
        return "network namespaces take root"
    probe = f"consilium-{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"`ip netns add` is refused: {made.stderr.strip()}"
    _ip("netns", "del", probe)
    return None


class Network:
    """The server and the hospitals, each with a network of its own and a cable to the server.

    A hospital's routing rules let nothing out but TCP to the server's port. The server forwards nothing, so
    no hospital reaches another. This process, the one where users sit, has a cable to the server as well.

    Without namespaces all hosts share this machine's loopback: whatever does not depend on who can reach whom
    is tested all the same.

    Args:
        hospitals: Their names.
        port: The server's, the only one that is open.
        isolated: Whether to make namespaces.
    """

    def __init__(self, hospitals: Sequence[str], port: int, *, isolated: bool) -> None:
        self.isolated = isolated
        self.port = port
        self._pid = os.getpid()
        self._hosts = (SERVER, *hospitals)
        subnet = f"10.{64 + self._pid // 256 % 128}.{self._pid % 256}"
        self.address = {name: f"{subnet}.{index}" for index, name in enumerate(self._hosts, start=1)}
        self._users = f"{subnet}.250"
        if not isolated:
            self.address = dict.fromkeys(self._hosts, "127.0.0.1")
            return
        remove_orphans()
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def command(self, host: str, words: Sequence[str]) -> list[str]:
        """Return the command line that runs a command at a host."""
        return [*(("ip", "netns", "exec", self._namespace(host)) if self.isolated else ()), *words]

    def bytes_sent(self, hospital: str) -> int:
        """Return how many bytes a hospital's network card has sent, headers of all layers included."""
        return self._count(hospital, "tx_bytes")

    def payload_sent(self, hospital: str) -> int:
        """Return how many bytes a hospital has sent by TCP, each counted once.

        How many frames it takes, those that only acknowledge included, and what is sent twice as an answer
        was late, is the machine's mood.
        """
        shown = self._show(hospital, "/proc/net/snmp")
        names, values = (line.split() for line in shown.splitlines() if line.startswith("Tcp:"))
        repeated = int(dict(zip(names, values, strict=True))["RetransSegs"]) * _SEGMENT_BYTES
        return self.bytes_sent(hospital) - self._count(hospital, "tx_packets") * _HEADER_BYTES - repeated

    def bytes_received(self, hospital: str) -> int:
        """Return how many bytes a hospital's network card has received."""
        return self._count(hospital, "rx_bytes")

    def cut(self, hospital: str) -> None:
        """Pull a hospital's cable out at the server: whatever either side sends is lost without a word."""
        self._ip_at(SERVER, "link", "set", self._server_end(hospital), "down")

    def restore(self, hospital: str) -> None:
        """Plug a hospital's cable in again."""
        self._ip_at(SERVER, "link", "set", self._server_end(hospital), "up")
        self.route(hospital)

    def route(self, hospital: str, over: str | None = None) -> None:
        """Send what a hospital and the server say to each other over an interface that both have.

        Args:
            hospital: Its name.
            over: Name of the interface at both ends; None for the hospital's cable.
        """
        for host, cable, peer in ((SERVER, self._server_end(hospital), hospital), (hospital, "eth0", SERVER)):
            to_peer = (f"{self.address[peer]}/32", "dev", over or cable, "src", self.address[host])
            self._ip_at(host, "route", "replace", *to_peer)

    def limit(self, hospital: str, rate: str | None) -> None:
        """Let a hospital's cable carry no more than a rate of `tc`, such as `1mbit`; None: what it can."""
        for host, interface in ((SERVER, self._server_end(hospital)), (hospital, "eth0")):
            words = ("qdisc", "del", "dev", interface, "root")
            if rate is not None:
                words = ("qdisc", "replace", "dev", interface, "root",
                         "tbf", "rate", rate, "burst", "32kbit", "latency", "400ms")  # fmt: skip
            done = subprocess.run(
                self.command(host, ["tc", *words]), capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"tc {' '.join(words)}: {done.stderr.strip()}"

    def close(self) -> None:
        """Take everything down; what still runs in a namespace is ended."""
        if self.isolated:
            for host in self._hosts:
                _remove(self._namespace(host))

    def _build(self) -> None:
        for host in self._hosts:
            _ip("netns", "add", self._namespace(host))
            self._ip_at(host, "link", "set", "lo", "up")
        for hospital in self._hosts[1:]:
            server_end = self._server_end(hospital)
            _ip("link", "add", server_end, "netns", self._namespace(SERVER),
                "type", "veth", "peer", "name", "eth0", "netns", self._namespace(hospital))  # fmt: skip
            self._connect(SERVER, server_end, self.address[SERVER], self.address[hospital])
            self._connect(hospital, "eth0", self.address[hospital], self.address[SERVER])
            self._close_all_but_the_port(hospital)
        users_end = f"v{self._pid}x0"
        _ip("link", "add", users_end, "type", "veth",
            "peer", "name", users_end, "netns", self._namespace(SERVER))  # fmt: skip
        self._connect(SERVER, users_end, self.address[SERVER], self._users)
        self._connect(None, users_end, self._users, self.address[SERVER])

    def _connect(self, host: str | None, interface: str, address: str, peer: str) -> None:
        for words in (
            ("addr", "add", f"{address}/32", "dev", interface),
            # No address of IPv6, which the rules don't cover; one packet a segment, as on a real cable, so
            # that all headers are counted.
            ("link", "set", interface, "addrgenmode", "none"),
            ("link", "set", interface, "up", "gso_max_segs", "1"),
            ("route", "add", f"{peer}/32", "dev", interface, "src", address),
        ):
            self._ip_at(host, *words)

    def _close_all_but_the_port(self, hospital: str) -> None:
        to_server = ("to", self.address[SERVER], "ipproto", "tcp", "dport", str(self.port))
        self._ip_at(hospital, "rule", "add", "pref", "100", *to_server, "lookup", "main")
        self._ip_at(hospital, "rule", "add", "pref", "200", "prohibit")
        for default in ("32766", "32767"):
            self._ip_at(hospital, "rule", "del", "pref", default)

    def _server_end(self, hospital: str) -> str:
        return f"v{self._pid}x{self._hosts.index(hospital)}"

    def _namespace(self, host: str) -> str:
        return f"consilium-{self._pid}-{host}"

    def _ip_at(self, host: str | None, *words: str) -> None:
        _ip(*(() if host is None else ("-n", self._namespace(host))), *words)

    def _count(self, hospital: str, counter: str) -> int:
        return int(self._show(hospital, f"/sys/class/net/eth0/statistics/{counter}"))

    def _show(self, hospital: str, path: str) -> str:
        assert self.isolated, "bytes can be counted by hospital only in namespaces"
        words = self.command(hospital, ["cat", path])
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def remove_orphans() -> None:
    """Remove the namespaces of runs that were killed before they could, and end what runs there."""
    folder = Path("/var/run/netns")
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _NAME.match(path.name)
        if match and not psutil.pid_exists(int(match[1])):
            _remove(path.name)


def _remove(namespace: str) -> None:
    if not Path("/var/run/netns", namespace).exists():
        return
    shown = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False)
    for pid in shown.stdout.split():
        with suppress(psutil.NoSuchProcess):
            psutil.Process(int(pid)).kill()
    _ip("netns", "del", namespace)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr.strip()}"
