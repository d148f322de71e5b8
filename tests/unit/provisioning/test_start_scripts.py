"""A kit's own scripts, run as they are: a program replaces FLARE's processes, which only wait."""

import errno
import os
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from consilium.errors import ConfigurationError
from consilium.guard import workspace_lock
from consilium.guard.kit_processes import LOCK_FILE, find_processes, stop_processes
from consilium.guard.start_check import check_start, require_free
from waiting import wait_until

from .machine import DEADLINE_SECONDS, lasting
from .provisioned import SERVER, provision, shipped_project

pytestmark = pytest.mark.integration

LEAD = "scientist@consortium.example"
STAND_IN = """#!/bin/sh
case "$*" in
  *nvflare.private*) exec {python} -c 'import signal; signal.pause()' "$@" ;;
  *nvflare*) printf '%s\\n' "$@" > "{said}" ;;
  *) exec {python} "$@" ;;
esac
"""


@pytest.fixture(scope="module")
def kits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = shipped_project()
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    project["participants"][0] |= {"fed_learn_port": port, "admin_port": port}
    return provision(tmp_path_factory.mktemp("provisioned"), project)


class Machine:
    """A machine to which kits are copied and on which they are started."""

    def __init__(self, kits: Path, folder: Path) -> None:
        self.kits, self.folder = kits, folder
        self.said = folder / "said.txt"
        self.programs = folder / "bin"
        self.started: list[Path] = []
        self.programs.mkdir(parents=True)
        self.install(STAND_IN.format(python=sys.executable, said=self.said))

    def install(self, program: str) -> None:
        (self.programs / "python3").write_text(program)
        (self.programs / "python3").chmod(0o755)

    def copy(self, name: str, to: str) -> Path:
        return Path(shutil.copytree(self.kits / name, self.folder / to))

    def run(self, kit: Path, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script to its end; what it has started in the background runs on."""
        output = self.folder / "output.txt"
        self.started.append(kit)
        with output.open("w") as file:
            done = subprocess.run(
                [str(kit / "startup" / script)], stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                env={**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}"}, timeout=DEADLINE_SECONDS,
            )  # fmt: skip
        return subprocess.CompletedProcess(done.args, done.returncode, output.read_text())


@pytest.fixture
def machine(kits, tmp_path):
    made = Machine(kits, tmp_path / "machine")
    yield made
    for started in made.started:
        while found := find_processes(started):
            stop_processes(found)


def test_a_kit_is_started_once_and_again_when_nothing_of_it_is_left(machine):
    kit = machine.copy("north", "north")
    assert machine.run(kit, "start.sh").returncode == 0
    (process,) = wait_until(lambda: lasting(kit), "a process")
    second = machine.run(kit, "start.sh")
    assert second.returncode == 1
    assert "this kit runs already" in second.stdout
    assert f"consilium site stop {kit}" in second.stdout
    assert machine.run(kit, "sub_start.sh").returncode == 1

    (script,) = [one for one in find_processes(kit) if not one.is_parent]
    psutil.Process(script.pid).kill()
    wait_until(lambda: not psutil.pid_exists(script.pid), "its end")
    assert machine.run(kit, "start.sh").returncode == 1, "the process that it started still works here"
    assert [one.pid for one in lasting(kit)] == [process.pid]

    psutil.Process(process.pid).kill()
    wait_until(lambda: not lasting(kit), "their end")
    for name in ("daemon_pid.fl", "pid.fl"):  # after a reboot the numbers are other processes'
        (kit / name).write_text(str(os.getpid()))
    assert machine.run(kit, "start.sh").returncode == 0
    assert wait_until(lambda: lasting(kit), "a process")


def test_what_a_killed_start_left_of_its_jobs_ends_with_the_next_one(machine):
    kit, other = machine.copy("north", "north"), machine.copy("north", "other")
    line = [
        sys.executable,
        "-c",
        "import signal; signal.pause()",
        "nvflare.private.fed.app.client.worker_process",
    ]
    with ExitStack() as stack:
        left, others = (
            stack.enter_context(subprocess.Popen([*line, "-m", str(one)], start_new_session=True))
            for one in (kit, other)
        )
        stack.callback(others.kill)
        stack.callback(left.kill)
        wait_until(lambda: [one for one in find_processes(kit) if one.is_job], "a job")
        assert machine.run(kit, "start.sh").returncode == 0
        assert left.wait(timeout=DEADLINE_SECONDS) < 0
        assert others.poll() is None
        assert wait_until(lambda: lasting(kit), "a process")


def test_a_process_that_dies_is_restarted_and_the_kit_stays_taken_meanwhile(machine):
    kit = machine.copy("north", "north")
    machine.run(kit, "start.sh")
    (process,) = wait_until(lambda: lasting(kit), "a process")
    psutil.Process(process.pid).kill()
    assert machine.run(kit, "start.sh").returncode == 1
    assert wait_until(lambda: [one for one in lasting(kit) if one.pid != process.pid], "another one")


def test_a_process_whose_number_could_not_be_written_is_not_started_beside_itself(machine):
    kit, rounds = machine.copy("north", "north"), machine.folder / "rounds.txt"
    rounds.touch()
    (machine.programs / "sleep").write_text(f'#!/bin/sh\necho >> "{rounds}"\nexec /bin/sleep 0.2\n')
    (machine.programs / "sleep").chmod(0o755)
    assert machine.run(kit, "start.sh").returncode == 0
    (process,) = wait_until(lambda: lasting(kit), "a process")

    def go_round_with_a_full_disk():
        (kit / "pid.fl").write_text("")
        seen = len(rounds.read_text())
        wait_until(lambda: len(rounds.read_text()) > seen + 3, "four more rounds")

    go_round_with_a_full_disk()
    assert [one.pid for one in lasting(kit)] == [process.pid]
    psutil.Process(process.pid).kill()
    (restarted,) = wait_until(
        lambda: [one for one in lasting(kit) if one.pid != process.pid], "another process"
    )
    go_round_with_a_full_disk()
    assert [one.pid for one in lasting(kit)] == [restarted.pid]
    (kit / "restart.fl").touch()
    wait_until(lambda: [one for one in lasting(kit) if one.pid != restarted.pid], "another one")
    go_round_with_a_full_disk()
    assert len(lasting(kit)) == 1
    (kit / "shutdown.fl").touch()
    wait_until(lambda: not find_processes(kit), "their end")


def test_a_kit_on_a_full_disk_is_not_started_and_the_disk_is_named(tmp_path, monkeypatch):
    asked = []

    def usage(folder):
        asked.append(folder)
        return SimpleNamespace(free=3 << 20)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    for folder in (tmp_path, tmp_path / "not/made/yet"):
        with pytest.raises(ConfigurationError, match=f"the disk of {folder} is full: 3 MiB are free"):
            check_start(folder)
    assert asked == [tmp_path, tmp_path]


@pytest.mark.parametrize("script", ["start.sh", "sub_start.sh"])
def test_a_start_on_a_full_disk_fails_with_words(machine, script):
    kit = machine.copy("north", "north")
    full = "import shutil, types; shutil.disk_usage = lambda _: types.SimpleNamespace(free=0)"
    check = "from consilium.guard.start_check import main; sys.exit(main())"
    machine.install(f"#!/bin/sh\nshift 2\nexec {sys.executable} -c 'import sys; {full}; {check}' \"$@\"\n")
    refused = machine.run(kit, script)
    assert refused.returncode == 1
    assert f"the disk of {kit} is full: 0 MiB are free" in refused.stdout
    assert find_processes(kit) == []


@pytest.mark.parametrize("folder", ["my kits/north", "it's/north", 'a"b/north', "a#b/north", "a\\b/north"])
def test_a_kit_whose_path_flare_would_split_is_rejected_with_words_and_works_by_a_link(machine, folder):
    kit = machine.copy("north", folder)
    refused = machine.run(kit, "start.sh")
    assert refused.returncode == 1
    assert "Move it to a folder without them" in refused.stdout
    assert find_processes(kit) == []
    link = machine.folder / "link"
    link.symlink_to(kit)
    assert machine.run(link, "start.sh").returncode == 0


def test_the_console_is_started_wherever_its_kit_lies(machine):
    kit = machine.copy(LEAD, "my kits/lead")
    assert machine.run(kit, "fl_admin.sh").returncode == 0
    words = machine.said.read_text().splitlines()
    assert words[words.index("-m", 2) + 1] == f"{kit}/startup/.."
    assert (kit / "transfer").is_dir()


@pytest.mark.parametrize("shares", [False, True], ids=["alone", "as gRPC listens"])
def test_a_server_whose_port_is_taken_is_not_started(machine, shares):
    kit = machine.copy(SERVER, "server")
    port = int((kit / "startup/fed_server.json").read_text().split(f'"{SERVER}:')[1].split('"')[0])
    with socket.socket() as other:
        if shares:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("", port))
        other.listen()
        refused = machine.run(kit, "start.sh")
    assert refused.returncode == 1
    assert f"port {port}, at which the server is to listen, is taken" in refused.stdout
    assert str(os.getpid()) in refused.stdout
    assert find_processes(kit) == []
    assert machine.run(kit, "start.sh").returncode == 0


def test_a_port_at_which_a_connection_has_just_ended_is_free():
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        place = listener.getsockname()
        with socket.create_connection(place):
            listener.accept()[0].close()
    require_free(*place)


def test_the_last_resort_names_the_command_that_stops_in_order(kits):
    scripts = list(kits.glob("*/startup/stop_fl.sh"))
    assert len(scripts) > 1
    for script in scripts:
        asked = subprocess.run(["bash", script], input="n", capture_output=True, text=True, check=True)
        assert f"consilium site stop {script.parents[1]}" in asked.stdout
        assert "admin console" not in asked.stdout
        assert not (script.parents[1] / "shutdown.fl").exists()


def test_a_python_without_this_package_is_named(machine):
    kit = machine.copy("north", "north")
    machine.install("#!/bin/sh\necho no module >&2\nexit 1\n")
    refused = machine.run(kit, "start.sh")
    assert refused.returncode == 1
    assert f"python3 is {machine.programs}/python3" in refused.stdout


def test_a_process_that_fails_again_and_again_fails_its_script(kits):
    for name in (SERVER, "north"):
        script = (kits / name / "startup/sub_start.sh").read_text()
        _, _, after = script.partition("System is in trouble")
        assert after.splitlines()[2].strip() == "exit 1"


def test_a_file_system_without_locks_is_said_and_keeps_nobody_from_working(tmp_path, monkeypatch):
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    (tmp_path / LOCK_FILE).touch()
    assert check_start(tmp_path) is None
    monkeypatch.setattr(workspace_lock.fcntl, "flock", refuse)
    assert "file system without locks" in check_start(tmp_path)
