"""Many hospitals on one machine: FLARE's real client processes, forked from one that has imported all of it.

A client and the process of its job take 210 MiB and seconds of importing when each is started for itself.
Here they share the memory of what is imported, and start at once. What they do is FLARE's own code: each has
its certificate and its connections to the server.

Started by `server_memory.py`; it has no use of its own.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import shlex
import signal
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_launcher_spec import JobHandleSpec, JobLauncherSpec, JobReturnCode, add_launcher
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from nvflare.fuel.f3.mpm import MainProcessMonitor
from nvflare.utils.job_launcher_utils import generate_client_command

from consilium.default_task import DEFAULT
from consilium.federation.message_names import TEST
from consilium.federation.site import executor
from consilium.federation.transport.set_up import set_up_peer
from consilium.guard.loopback import credentials_with_key
from consilium.tasks import get_task

STEPS, CASES = 1, 10
CLIENT, JOB = "nvflare.private.fed.app.client.client_train", "nvflare.private.fed.app.client.worker_process"
SOCKET = "LIGHT_SITES_SOCKET"
"""Environment variable with the path of the socket at which a client asks for the process of a job."""

_NICENESS = 10
"""The server is to be served first by the cores: real hospitals have their own."""


def answer(site: str, task: str, model: FLModel) -> Shareable:
    """Answer a task as a site would; an update is random, and as long as every other."""
    trains = task == "train"
    report = {
        "role": "trains",
        "train_cases": CASES,
        "validation_cases": 2,
        "test_cases": 2,
        "steps": STEPS if trains else 0,
    }
    metrics = get_task(DEFAULT).evaluation.metrics.in_round(final=task == TEST)
    scores = {one.name: 0.5 for one in metrics if one.is_measured}
    generator = np.random.default_rng([model.current_round, *site.encode()])
    update = {
        name: 1e-3 * generator.standard_normal(value.shape, dtype=np.float32)
        for name, value in (model.params or {}).items()
        if trains
    }
    return FLModelUtils.to_shareable(
        FLModel(
            params_type=ParamsType.DIFF if trains else None,
            params=update or None,
            metrics={"validation_cases": 2.0, **(scores if model.params else {})},
            current_round=model.current_round,
            meta={"consilium.report": report},
        )
    )


class LightSite(Executor):
    """A site that trains nothing, and sends what a trained one would.

    Sites accept only jobs exactly as a recipe writes them, so a job's process takes it in place of the
    `SiteExecutor` that the job names.

    Args:
        settings: Those of the job for its executor; nothing of them is needed.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Send as a site of this package does."""
        if event_type == EventType.START_RUN:
            set_up_peer()

    def execute(
        self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal
    ) -> Shareable:
        """Carry out a task at once."""
        return answer(fl_ctx.get_identity_name(), task_name, FLModelUtils.from_shareable(shareable))


class ForkedJob(JobHandleSpec):
    """The process of a job that was forked elsewhere; it holds the other end of a connection until it ends.

    Args:
        connection: To that process, which has sent its id.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._stream = connection.makefile("r")
        self._pid = int(self._stream.readline())
        self._code: int | None = None
        connection.setblocking(True)

    def terminate(self) -> None:
        """End the process."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

    def poll(self) -> int:
        """Return how it ended; `UNKNOWN` while it runs."""
        if self._code is None and not Path(f"/proc/{self._pid}").exists():
            self.wait()
        return JobReturnCode.UNKNOWN if self._code is None else self._code

    def wait(self) -> None:
        """Wait for its end."""
        if self._code is None:
            last = self._stream.readline()
            self._code = JobReturnCode.SUCCESS if last == "0\n" else JobReturnCode.EXECUTION_ERROR


class ForkLauncher(JobLauncherSpec):
    """A hospital's launcher of jobs, in the place of FLARE's, which starts a new Python."""

    def launch_job(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> ForkedJob:
        """Let the process that this client was forked from fork one for the job."""
        words = shlex.split(generate_client_command(fl_ctx))
        credentials = credentials_with_key(fl_ctx.get_prop(FLContextKey.JOB_PROCESS_ARGS) or {})
        return ForkedJob(_ask(os.environ[SOCKET], JOB, words[words.index(JOB) + 1 :], credentials))

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Offer itself for a job."""
        if event_type == EventType.BEFORE_JOB_LAUNCH:
            add_launcher(self, fl_ctx)


def start_client(path: str, kit: Path, name: str) -> None:
    """Let a hospital's client run out of its kit.

    Args:
        path: Of the socket.
        kit: The kit.
        name: The hospital's.
    """
    words = ["-m", str(kit), "-s", "fed_client.json", "--set", "secure_train=true", f"uid={name}"]
    with _ask(path, CLIENT, [*words, "org=hospital", "config_folder=config"], {}) as connection:
        connection.recv(16)  # it lives


def serve(path: str) -> None:
    """Fork a process whenever one is asked for; ends when it is killed.

    Args:
        path: Where to make the socket.
    """
    for module in (CLIENT, JOB, "nvflare.app_common.widgets.convert_to_fed_event"):
        importlib.import_module(module)
    os.nice(_NICENESS)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    os.environ[SOCKET] = path
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(256)
        while True:
            connection, _ = listener.accept()
            with connection:
                order = json.loads(connection.makefile("r").readline())
                if os.fork() == 0:
                    listener.close()
                    _become(order, connection)


def _become(order: dict[str, Any], connection: socket.socket) -> None:
    """Be one of FLARE's programs, and end with it."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        connection.sendall(f"{os.getpid()}\n".encode())
        if order["module"] == CLIENT:
            connection.close()
            _keep_alive()
        sys.argv = [order["module"], *order["words"]]
        os.environ.update(order["environment"])
        os.chdir(order["words"][order["words"].index("-m") + 1])  # as a kit's start script does
        random.seed()  # else all of them would draw the same
        if order["module"] == JOB:
            executor.SiteExecutor = LightSite  # type: ignore[misc, assignment]
        program = sys.modules["__main__"] = importlib.import_module(order["module"])  # where the guard looks
        arguments = program.parse_arguments()
        folder = Path(arguments.workspace, getattr(arguments, "job_id", ""))
        code = MainProcessMonitor.run(main_func=program.main, run_dir=str(folder), args=arguments)
    except BaseException:  # noqa: BLE001 - the process ends here, and nobody above would see it
        traceback.print_exc()
    finally:
        with suppress(OSError):
            connection.sendall(f"{code or 0}\n".encode())
        os._exit(code or 0)


def _keep_alive() -> None:
    """Go on in a child, and in another one whenever it fails, as a kit's start script does."""
    while child := os.fork():
        _, status = os.waitpid(child, 0)
        if status == 0:
            os._exit(0)
        time.sleep(1)


def _ask(path: str, module: str, words: Sequence[str], environment: dict[str, str]) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    order = {"module": module, "words": list(words), "environment": environment}
    connection.sendall(f"{json.dumps(order)}\n".encode())
    return connection
