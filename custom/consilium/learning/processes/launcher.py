"""Launcher of a site's training processes: torchrun, their connection, and their end."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait

import psutil

from consilium.counts import counted
from consilium.data.files import private_opener
from consilium.errors import TrainingError
from consilium.learning.processes.messages import (
    EVENT,
    Cancel,
    Event,
    GroupFolder,
    Joined,
    Score,
    Train,
)

_START_S = 300.0
_END_S = 10.0
_POLL_S = 0.1
_LOG_LINES = 40


class Processes:
    """A site's training processes: started with torchrun, ended when this is closed, collected or killed.

    They find each other through files and exchange gradients over the loopback interface or between GPUs:
    torchrun's usual TCP store listens on every interface and unpickles what it is sent.

    Args:
        folder: With the setup in it; removed when the processes have ended, or could not be started.
        size: How many.
        threads: CPU threads for each.

    Raises:
        TrainingError: If not all of them start within five minutes.
        OSError: If this machine starts no process or opens no socket.
    """

    def __init__(self, folder: GroupFolder, size: int, threads: int) -> None:
        self._folder = folder
        self._size = size
        self._connections: dict[Connection, int] = {}
        self._known: dict[int, psutil.Process] = {}
        with socket.socket(socket.AF_UNIX) as listener:
            try:
                listener.bind(str(folder.socket))
                listener.listen(size)
                listener.settimeout(_POLL_S)
                self._torchrun = _start_torchrun(folder, size, threads)
            except BaseException:  # an interrupt, too, leaves no folder or process
                _remove(folder)
                raise
            self.close = weakref.finalize(self, _end, self._torchrun, self._connections, self._known, folder)
            try:
                self._accept(listener)
            except BaseException:
                self.close()
                raise
        folder.socket.unlink(missing_ok=True)

    @property
    def size(self) -> int:
        """How many there are."""
        return self._size

    @property
    def pids(self) -> list[int]:
        """Process ids, by rank."""
        return [self._known[rank].pid for rank in range(self._size)]

    def send(self, command: Train | Score | Cancel) -> None:
        """Send a command to every process.

        Raises:
            TrainingError: If one has ended.
        """
        for connection in self._connections:
            try:
                connection.send_bytes(command.model_dump_json().encode())
            except OSError:
                raise self._ended(connection) from None

    def receive(self) -> Iterator[tuple[int, Event]]:
        """Yield messages with their sender's rank; none if nothing arrives within 0.1 s.

        Raises:
            TrainingError: If a process has ended.
        """
        ready = wait(list(self._connections), _POLL_S)
        for connection in [one for one in self._connections if one in ready]:
            try:
                message = connection.recv_bytes()
            except (EOFError, OSError):
                raise self._ended(connection) from None
            yield self._connections[connection], EVENT.validate_json(message)

    def failure(self, what: str) -> TrainingError:
        """Return an error with the last output of torchrun and the processes."""
        lines = self._folder.log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return TrainingError("\n  ".join([f"{what}; they printed last:", *lines]))

    def kill(self) -> None:
        """End the processes at once, whatever they do."""
        for process in self._known.values():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.close()

    def _ended(self, connection: Connection) -> TrainingError:
        with suppress(subprocess.TimeoutExpired):
            self._torchrun.wait(_END_S)  # torchrun ends the others, and prints which failed first and how
        return self.failure(
            f"training process {self._connections[connection]} of {self._size} ended unexpectedly"
        )

    def _accept(self, listener: socket.socket) -> None:
        what = f"the {counted(self._size, 'training process', 'training processes')} did not start"
        deadline = time.monotonic() + _START_S
        while len(self._connections) < self._size:
            try:
                channel, _ = listener.accept()
            except TimeoutError:
                if self._torchrun.poll() is not None or time.monotonic() > deadline:
                    raise self.failure(what) from None
                continue
            connection: Connection = Connection(channel.detach())
            try:
                joined = EVENT.validate_json(connection.recv_bytes())
                assert isinstance(joined, Joined)
                self._known[joined.rank] = psutil.Process(joined.pid)
            except (EOFError, OSError, psutil.NoSuchProcess):
                raise self.failure(what) from None
            self._connections[connection] = joined.rank


def _start_torchrun(folder: GroupFolder, size: int, threads: int) -> subprocess.Popen[bytes]:
    with open(folder.log, "wb", opener=private_opener) as log:
        return subprocess.Popen(
            _command(folder, size),
            cwd=folder.path,
            env=os.environ | _environment(threads),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _command(folder: GroupFolder, size: int) -> Sequence[str]:
    return [
        sys.executable,
        *("-m", "torch.distributed.run"),
        "--nnodes=1",
        f"--nproc-per-node={size}",
        "--max-restarts=0",
        "--rdzv-backend=c10d",
        "--rdzv-conf=store_type=file",
        f"--rdzv-endpoint={folder.rendezvous}",
        f"--log-dir={folder.path}",
        *("-m", "consilium.learning.processes.worker", str(folder.path), str(folder.socket)),
    ]


def _environment(threads: int) -> dict[str, str]:
    loopback = next(
        name
        for name, addresses in psutil.net_if_addrs().items()
        if any(address.address == "127.0.0.1" for address in addresses)
    )
    return {
        "OMP_NUM_THREADS": str(threads),
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": loopback,
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    }


def _end(
    torchrun: subprocess.Popen[bytes],
    connections: dict[Connection, int],
    workers: dict[int, psutil.Process],
    folder: GroupFolder,
) -> None:
    """Wait ten seconds for the processes to end, kill the rest, and remove the folder."""
    processes = list(workers.values())
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(torchrun.pid)
        processes += [parent, *parent.children(recursive=True)]
    for connection in connections:
        connection.close()
    _, alive = psutil.wait_procs(set(processes), timeout=_END_S if connections else 0)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    torchrun.wait()
    _remove(folder)


def _remove(folder: GroupFolder) -> None:
    folder.socket.unlink(missing_ok=True)
    shutil.rmtree(folder.path, ignore_errors=True)
