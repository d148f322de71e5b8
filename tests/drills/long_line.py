"""A line that is slow, long and loses packets, made of two TUN devices: it takes no netem in the kernel."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from integration.security.network import SERVER, Network
from waiting import wait_until

_END = Path(__file__).with_name("line_end.py")
_NAME = "line0"


@contextmanager
def long_line(network: Network, hospital: str) -> Iterator[None]:
    """Let a hospital's line carry 1 Mbit/s with 200 ms there and back, and lose 1 % of the packets."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ExitStack() as stack:
        for host, end in zip((SERVER, hospital), ends, strict=True):
            words = network.command(host, [sys.executable, str(_END), _NAME, str(end.fileno())])
            process = stack.enter_context(subprocess.Popen(words, pass_fds=[end.fileno()]))
            stack.callback(process.kill)
            end.close()
        for host in (SERVER, hospital):
            up = network.command(host, ["ip", "link", "set", _NAME, "up"])
            wait_until(
                lambda up=up: subprocess.run(up, stderr=subprocess.DEVNULL, check=False).returncode == 0,
                f"{host} has its end of the line",
            )
        network.route(hospital, over=_NAME)
        try:
            yield
        finally:
            network.route(hospital)
