"""One end of a line that is slow, long and loses packets: a program that runs in the network of its host.

Its arguments are the name of the TUN device that it makes, and the descriptor of the socket to the other end.
"""

import fcntl
import os
import random
import select
import socket
import struct
import sys
import time
from collections import deque
from contextlib import suppress

BITS_PER_SECOND = 1_000_000
SECONDS_ONE_WAY = 0.1
LOSS = 0.01
_LONGEST_QUEUE_SECONDS = 0.4
_PACKET_BYTES = 65536
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h


def carry(name: str, line: socket.socket) -> None:
    """Take what the host sends to the other end, later or never; give the host what comes from there."""
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    on_the_way: deque[tuple[float, bytes]] = deque()
    free_at = 0.0
    while True:
        wait = max(on_the_way[0][0] - time.monotonic(), 0.0) if on_the_way else None
        ready, _, _ = select.select([tun, line], [], [], wait)
        now = time.monotonic()
        if tun in ready:
            packet = os.read(tun, _PACKET_BYTES)
            queue_seconds = max(free_at - now, 0.0)
            if random.random() >= LOSS and queue_seconds <= _LONGEST_QUEUE_SECONDS:
                free_at = now + queue_seconds + len(packet) * 8 / BITS_PER_SECOND
                on_the_way.append((free_at + SECONDS_ONE_WAY, packet))
        if line in ready:
            packet = line.recv(_PACKET_BYTES)
            if not packet:
                return  # the other end is gone
            with suppress(OSError):  # the host's end isn't up yet: a packet more is lost
                os.write(tun, packet)
        while on_the_way and on_the_way[0][0] <= time.monotonic():
            line.send(on_the_way.popleft()[1])


if __name__ == "__main__":
    carry(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
