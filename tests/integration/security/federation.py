"""A provisioned federation as a consortium would run it: kits, certificates, `start.sh`, users."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import yaml
from nvflare.fuel.flare_api.flare_api import Session, new_secure_session

from consilium.data.files import private_opener
from waiting import wait_until

from ..studies import ANY_NUMBER
from .network import SERVER, Network

REPOSITORY = Path(__file__).parents[3]
SERVER_NAME = "flare.consortium.example"
SITES = ("north", "south", "clinic")
PROJECT_ADMIN, LEAD, MEMBER = (f"{user}@consortium.example" for user in ("admin", "scientist", "observer"))
NORTH_ADMIN, SOUTH_ADMIN = "it@north.example", "it@south.example"


def provision(
    folder: Path,
    datasets: Mapping[str, Path],
    address: str,
    port: int,
    edit: Callable[[dict[str, Any]], None] = lambda project: None,
    environment: Mapping[str, str] | None = None,
) -> tuple[dict[str, Path], Path]:
    """Provision `provision/project.yml`, with its hosts and folders changed to this machine's.

    Args:
        folder: Where to.
        datasets: Site name to its data.
        address: Of the server.
        port: The server's only one.
        edit: Changes what else the project file says.
        environment: More variables for the provisioning.

    Returns:
        The kits by participant, and the folder in which the project admin keeps the root key.
    """
    folder.mkdir(parents=True)
    project = yaml.safe_load((REPOSITORY / "provision/project.yml").read_text())
    for participant in project["participants"]:
        participant.pop("capacity", None)  # this machine has no such GPUs
        if participant["type"] == "server":
            participant.update(
                fed_learn_port=port, admin_port=port, default_host=address, host_names=[address]
            )
        elif participant["type"] == "client":
            participant["consilium"].update(
                dataset=str(datasets[participant["name"]]), cpu_threads=1, **ANY_NUMBER
            )
    edit(project)
    (folder / "project.yml").write_text(yaml.safe_dump(project))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("nvflare")), "provision", "-p", "project.yml", "-w", "workspace"],
        cwd=folder, env={**_environment(folder), **(environment or {})},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    made = folder / "workspace" / project["name"]
    return {kit.name: kit for kit in (made / "prod_00").iterdir() if kit.is_dir()}, made / "state"


class Federation:
    """Real processes of a provisioned project, each participant's in its own network.

    Args:
        kits: Participant to kit.
        network: Where server and hospitals live.
        root: Folder of everything; what runs out of it belongs to this federation and is ended with it.
    """

    def __init__(self, kits: Mapping[str, Path], network: Network, root: Path) -> None:
        self.kits = dict(kits)
        self.network = network
        self.root = root

    def start(
        self,
        participant: str,
        *,
        host: str | None = None,
        environment: Mapping[str, str] | None = None,
        script: str = "start.sh",
    ) -> None:
        """Start a participant with a script of its kit; what it prints goes to `output.txt` there."""
        kit = self.kits[participant]
        host = host or (SERVER if participant == SERVER_NAME else participant)
        with open(kit / "output.txt", "ab", opener=private_opener) as file:
            subprocess.Popen(
                self.network.command(host, [str(kit / "startup" / script)]),
                cwd=kit, env={**_environment(kit), **(environment or {})},
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip

    def stop(self, kit: Path | None = None) -> None:
        """End every process that runs out of a kit, or of this federation."""
        wait_until(lambda: not _end(processes_of(kit or self.root)), "processes ended")

    @contextmanager
    def session(self, user: str, seconds: float = 60.0) -> Iterator[Session]:
        """Log in as a user, with the user's own kit, and wait so long for the server."""
        session = new_secure_session(user, str(self.kits[user]), timeout=seconds)
        session.set_timeout(seconds)  # instead of 5 s, too few where tests fill the machine
        try:
            yield session
        finally:
            with suppress(Exception):
                session.close()

    def log_of(self, participant: str) -> str:
        return read(self.kits[participant] / "log.txt")

    def audit_of(self, participant: str) -> str:
        return read(self.kits[participant] / "audit.log")

    def connected(self, session: Session) -> set[str]:
        return {client.name for client in session.get_connected_client_list()}


def processes_of(folder: Path) -> list[psutil.Process]:
    """Return the processes whose command line names something in a folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if process.pid != os.getpid() and any(word.startswith(str(folder)) for word in words):
            found.append(process)
    return found


def free_port() -> int:
    """Draw a port on which nobody listens, and that nobody else takes before it is used.

    It lies below those that the system hands out, and no two test processes draw the same ones.
    """
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 16
    while True:
        port = 16 * (625 + secrets.randbelow(1375)) + process
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def read(path: Path) -> str:
    with suppress(FileNotFoundError):
        return path.read_text(errors="replace")
    return ""


def _end(processes: list[psutil.Process]) -> list[psutil.Process]:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return processes


def _environment(home: Path) -> dict[str, str]:
    """The environment of a hospital's machine: FLARE's commands write to a home of their own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NVFL", "PYTEST"))}
    program_folder = str(Path(sys.executable).parent)
    return {**kept, "HOME": str(home), "PATH": f"{program_folder}:{kept['PATH']}", "OMP_NUM_THREADS": "1"}
