"""The image of a site, built for real, and engines that run what a kit's `compose.yaml` says.

`Chroot` runs it with buildah, which needs neither a daemon nor control groups. `Podman` runs the file itself
with podman-compose: read-only root, limits, dropped capabilities and networks are real there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from consilium.data.files import private_opener
from consilium.processes import stop_process_tree
from consilium.provisioning.runtimes.docker_compose import COMPOSE_FILE, ENV_FILE
from integration.security.federation import REPOSITORY

IMAGE = "localhost/consilium-drill:latest"
HEALTH = ("python3", "/opt/consilium/healthcheck.py", "/kit")
_BUILD = REPOSITORY / "provision/image/build.sh"
_VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")
_PATH = f"{os.environ['PATH']}:/usr/sbin:/usr/libexec/podman"
_CHROOT = {**os.environ, "BUILDAH_ISOLATION": "chroot", "PYTHON": sys.executable}

_CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:{files}", "nproc=1000:1000"]
[engine]
runtime = "crun"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
_MOUNTS = (
    "if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi; "
    "echo ready; exec sleep infinity"
)
"""crun refuses a machine with control groups of both versions; in a mount namespace there is one."""


def missing(programs: Sequence[str]) -> str | None:
    """Say what keeps this machine from building and running images; None if nothing does."""
    if os.geteuid() != 0:
        return "images are built and run as root here"
    lacking = [program for program in programs if shutil.which(program, path=_PATH) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else None


def run(*words: str, environment: Mapping[str, str] = _CHROOT, check: bool = True) -> str:
    """Run a command to its end; returns standard output.

    Raises:
        AssertionError: If it fails and `check` is set.
    """
    done = subprocess.run(words, env=dict(environment), capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{words}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def build_image() -> None:
    """Build the image of this checkout; base and packages are taken from an earlier build if there was one.

    pip's settings of this machine reach the build as the script's options.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = pip_options(Path(folder))
        run(str(_BUILD), "--engine", "buildah", "--debian-base", "--tag", IMAGE, *options)


def pip_settings() -> dict[str, str]:
    """Return pip's settings on this machine, without those of the command line."""
    listed = run("pip", "config", "list").splitlines()
    found = dict(line.split("=", 1) for line in listed if line.startswith("global."))
    return {
        name.removeprefix("global."): value.strip("'").replace("\\n", " ") for name, value in found.items()
    }


def pip_options(folder: Path) -> list[str]:
    """Return the build script's options that let it install from where this machine's pip does."""
    settings = pip_settings()
    options = ["--ca", settings["cert"]] if "cert" in settings else []
    kept = {
        name: settings[name] for name in ("index-url", "extra-index-url", "find-links") if name in settings
    }
    if kept:
        file = folder / "pip.conf"
        file.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in kept.items()))
        options += ["--pip-conf", str(file), "--torch-index", ""]
    for place in " ".join(kept.values()).replace("file://", "").replace("/simple", "").split():
        options += ["--volume", place] if Path(place).is_dir() else []
    return options


def service(kit: Path) -> dict[str, Any]:
    """Return the one service of a kit's compose file, its variables replaced by those of `.env`."""
    said = dict(
        line.split("=", 1) for line in (kit / ENV_FILE).read_text().splitlines() if line[:1] not in "#"
    )
    text = _VARIABLE.sub(lambda found: said.get(found[1]) or found[2], (kit / COMPOSE_FILE).read_text())
    (found,) = yaml.safe_load(text)["services"].values()
    return dict(found)


class Chroot:
    """Runs kits with buildah: as the image's account, without capabilities, on the host's network."""

    needs = ("buildah", "debootstrap")
    address = "127.0.0.1"

    def __init__(self, root: Path) -> None:
        self._root = root
        self._containers: dict[Path, str] = {}
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, kit: Path) -> None:
        """Start what a kit's compose file says; its output goes to `output.txt` beside the kit."""
        container = self._containers[kit] = run("buildah", "from", "--pull-never", IMAGE).strip()
        found = service(kit)
        words = self._words(kit, found, list(found["command"]))
        with open(kit.with_name(f"{kit.name}.output.txt"), "ab", opener=private_opener) as file:
            process = subprocess.Popen(
                ["buildah", "run", *words[0], container, "--", *words[1]],
                env=_CHROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
        self._processes.append(process)

    def run(self, kit: Path, *command: str) -> str:
        """Run a command beside a started kit, with its mounts; returns what it prints."""
        options, words = self._words(kit, service(kit), list(command))
        return run("buildah", "run", *options, self._containers[kit], "--", *words, check=False)

    def processes(self, kit: Path) -> list[psutil.Process]:
        """Return the Python processes of a started kit."""
        root = psutil.Process(self._processes[list(self._containers).index(kit)].pid)
        return [one for one in root.children(recursive=True) if "nvflare" in " ".join(one.cmdline())]

    def close(self) -> None:
        stop_process_tree(*(process.pid for process in self._processes))
        for container in self._containers.values():
            run("buildah", "rm", container, check=False)

    def _words(self, kit: Path, found: Mapping[str, Any], command: list[str]) -> tuple[list[str], list[str]]:
        options = [
            "--isolation",
            "chroot",
            "--user",
            found["user"],
            "--cap-drop",
            "all",
            "--workingdir",
            "/kit",
        ]
        for name, value in found.get("environment", {}).items():
            options += ["--env", f"{name}={value}"]
        for mount in found["volumes"]:
            source = mount["source"]
            if mount["type"] == "volume":
                folder = self._root / f"{kit.name}.{source}"
                folder.mkdir(mode=0o700, exist_ok=True)
                os.chown(folder, 10001, 10001)
                source = str(folder)
            source = str((kit / source).resolve())
            options += ["--volume", f"{source}:{mount['target']}:{'ro' if mount.get('read_only') else 'rw'}"]
        return options, command


class Podman:
    """Runs a kit's compose file as it is, with podman-compose.

    Every container has a network of its own. They reach the server under an address that this machine has for
    that and nothing else.
    """

    needs = (*Chroot.needs, "podman", "podman-compose", "crun", "catatonit", "unshare", "nsenter", "ip")

    def __init__(self, root: Path) -> None:
        self.address = f"10.{64 + os.getpid() // 256 % 128}.{os.getpid() % 256}.1"
        self._link = f"kit{os.getpid()}"
        run("ip", "link", "add", self._link, "type", "bridge")
        run("ip", "address", "add", f"{self.address}/32", "dev", self._link)
        run("ip", "link", "set", self._link, "up")
        self._mounts = subprocess.Popen(["unshare", "-m", "sh", "-c", _MOUNTS], stdout=subprocess.PIPE)
        assert self._mounts.stdout is not None
        assert self._mounts.stdout.readline() == b"ready\n"
        conf = root / "containers.conf"
        conf.write_text(_CONTAINERS_CONF.format(files=os.sysconf("SC_OPEN_MAX")))
        self._environment = {**os.environ, "CONTAINERS_CONF": str(conf)}
        self._kits: list[Path] = []

    def start(self, kit: Path) -> None:
        self._kits.append(kit)
        self._do(kit, "podman-compose", "up", "--detach")

    def run(self, kit: Path, *command: str) -> str:
        return self._do(kit, "podman", "exec", self._name(kit), *command, check=False)

    def inspect(self, kit: Path) -> Any:
        """Return what the engine knows of a kit's container."""
        (found,) = json.loads(self._do(kit, "podman", "inspect", self._name(kit)))
        return found

    def processes(self, kit: Path) -> list[psutil.Process]:
        root = psutil.Process(int(self.inspect(kit)["State"]["Pid"]))
        return [one for one in root.children(recursive=True) if "nvflare" in " ".join(one.cmdline())]

    def do(self, kit: Path, *words: str) -> str:
        """Give the engine another command about a kit's container."""
        return self._do(kit, "podman", *words, self._name(kit))

    def close(self) -> None:
        for kit in self._kits:
            with suppress(AssertionError):
                self._do(kit, "podman-compose", "down", "--volumes")
                mine = f"label=com.docker.compose.project={kit.name.replace('.', '')}"
                self._do(kit, "podman", "network", "prune", "--force", "--filter", mine)
        self._mounts.kill()
        self._mounts.wait()
        run("ip", "link", "del", self._link, check=False)

    def _name(self, kit: Path) -> str:
        ((service_name, _),) = yaml.safe_load((kit / COMPOSE_FILE).read_text())["services"].items()
        return self._do(
            kit, "podman", "ps", "--all", "--format", "{{.Names}}",
            "--filter", f"label=com.docker.compose.service={service_name}",
            "--filter", f"label=com.docker.compose.project.working_dir={kit}",
        ).strip()  # fmt: skip

    def _do(self, kit: Path, *words: str, check: bool = True) -> str:
        return run(
            "nsenter", f"--mount=/proc/{self._mounts.pid}/ns/mnt",
            "sh", "-c", 'cd "$1"; shift; exec "$@"', "sh", str(kit), *words,
            environment=self._environment, check=check,
        )  # fmt: skip
