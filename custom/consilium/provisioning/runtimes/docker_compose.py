"""Compose files that run a startup kit in a container, without privileges or Docker's socket."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, Final

import yaml

from consilium.errors import ConfigurationError
from consilium.federation.rounds.checkpoints import SERVER_STORAGE
from consilium.guard.parties import SiteKind
from consilium.participant.site_settings import SiteSettings

COMPOSE_FILE: Final = "compose.yaml"
"""Where `docker compose` looks for it: in the kit's own folder."""

GPU_FILE: Final = "compose.gpu.yaml"
ENV_FILE: Final = ".env"

KIT: Final = PurePosixPath("/kit")
"""Where the container sees the kit, which is FLARE's workspace."""

USER_ID: Final = 10001
"""Account of the image, which owns the kit and what is written."""

_STORAGE: Final = "/storage"
_CACHE: Final = Path("cache")
_TEMPORARY: Final = "/tmp"  # noqa: S108 - in the container
_MEMORY: Final[Mapping[SiteKind, str]] = {"server": "8g", "client": "32g"}
_NOT_ALLOWED: Final = re.compile(r"[^a-z0-9_-]+")

_HEADER: Final = """\
# Runs this kit in a container. In this folder: `docker compose up -d`. Settings stand in .env, and
# docs/containers.md explains them. Docker's socket is not mounted: jobs run in this container too, and
# nothing in it has rights.
"""
_GPU_HEADER: Final = """\
# GPUs for the container; .env switches it on. The host needs NVIDIA's driver and container toolkit.
"""


def write_compose_files(
    kit: Path,
    name: str,
    *,
    kind: SiteKind,
    ports: Sequence[int] = (),
    settings: SiteSettings | None = None,
    gpus: int = 0,
) -> None:
    """Write `compose.yaml`, `.env` and, for a hospital, `compose.gpu.yaml` into a startup kit.

    Args:
        kit: The kit's folder.
        name: Of the site or the server.
        kind: Which of both.
        ports: On which the server listens; not for a hospital, to which nothing connects.
        settings: A hospital's, with the folders that the container sees.
        gpus: How many a hospital offers to jobs; with any, `.env` switches them on.

    Raises:
        ConfigurationError: If a path of the settings can't stand in these files.
    """
    image = f"consilium-site:{version('consilium')}"
    service = _service(image, kind)
    volumes: dict[str, Any] = {}
    if kind == "server":
        service["ports"] = [f"{port}:{port}" for port in ports]
        service["environment"] = {SERVER_STORAGE: _STORAGE}
        service["volumes"].append(_volume("storage", PurePosixPath(_STORAGE)))
        volumes = {"storage": {}}
    elif settings is not None:
        # Where `consilium check` keeps what it has found: it has to outlive its container.
        service["environment"] = {"XDG_CACHE_HOME": str(KIT / ".cache")}
        service["volumes"] += _folders(settings)
        if settings.cache_dir == _CACHE:
            service["volumes"].append(_volume("cache", KIT / _CACHE))
            volumes = {"cache": {}}
    compose = {
        "name": f"consilium-{_NOT_ALLOWED.sub('-', name.lower()).strip('-')}",
        "services": {_service_name(kind): service},
        "volumes": volumes,
    }
    (kit / COMPOSE_FILE).write_text(_HEADER + _yaml(compose))
    (kit / ENV_FILE).write_text(_env(image, kind, gpus, settings.dataset if settings else None))
    if kind == "client":
        device = {"driver": "nvidia", "count": gpus or "all", "capabilities": ["gpu"]}
        with_gpus = {
            "image": f"${{CONSILIUM_IMAGE:-{image}-cuda}}",
            "deploy": {"resources": {"reservations": {"devices": [device]}}},
        }
        content = {"services": {_service_name(kind): with_gpus}}
        (kit / GPU_FILE).write_text(_GPU_HEADER + _yaml(content))


def _service_name(kind: SiteKind) -> str:
    return "server" if kind == "server" else "site"


def _service(image: str, kind: SiteKind) -> dict[str, Any]:
    group = f"${{CONSILIUM_GROUP:-{USER_ID}}}" if kind == "client" else str(USER_ID)
    memory = f"${{CONSILIUM_MEMORY:-{_MEMORY[kind]}}}"
    return {
        "image": f"${{CONSILIUM_IMAGE:-{image}}}",
        # --once: the container is restarted, not the process in it. The script sets umask and memory.
        "command": [str(KIT / "startup/sub_start.sh"), "--once"],
        "init": True,
        "restart": "unless-stopped",
        "stop_grace_period": "30s",
        "user": f"{USER_ID}:{group}",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": 4096,
        "mem_limit": memory,
        "memswap_limit": memory,  # the same: no swap, where pieces of images would be written
        "shm_size": "${CONSILIUM_SHM:-8g}" if kind == "client" else "64m",
        "tmpfs": [f"{_TEMPORARY}:mode=1777,size=${{CONSILIUM_TMP:-4g}}"],
        "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
        "volumes": [
            _bind(".", KIT, read_only=False),
            _bind("./startup", KIT / "startup"),
            _bind("./local", KIT / "local"),
        ],
    }


def _folders(settings: SiteSettings) -> list[dict[str, Any]]:
    """What the settings name: the dataset, and folders and files outside the kit under their own paths."""
    dataset = PurePosixPath(settings.dataset)
    source = _literal(dataset) if dataset.is_absolute() else f"./{_literal(dataset)}"
    folders = [_bind(f"${{CONSILIUM_DATA:-{source}}}", KIT / dataset)]
    for path, read_only in (
        (settings.cache_dir, False),
        (settings.state_dir, False),
        (settings.patients_file, True),
        (settings.subgroups_file, True),
        (settings.accepted_findings, True),
    ):
        if path is not None and path.is_absolute() and not path.is_relative_to(settings.dataset):
            folders.append(_bind(_literal(PurePosixPath(path)), PurePosixPath(path), read_only=read_only))
    return folders


def _bind(source: str, target: PurePosixPath, *, read_only: bool = True) -> dict[str, Any]:
    """A folder of the host; a missing one is an error, where Docker would otherwise make it, as root."""
    return {
        "type": "bind",
        "source": source,
        "target": _literal(target),
        "read_only": read_only,
        "bind": {"create_host_path": False},
    }


def _volume(name: str, target: PurePosixPath) -> dict[str, Any]:
    return {"type": "volume", "source": name, "target": _literal(target)}


def _literal(path: PurePosixPath) -> str:
    """A path in which Compose replaces no variable, and that ends no line and no default value.

    Raises:
        ConfigurationError: If it can't stand in these files.
    """
    if not str(path).isprintable() or "}" in str(path):
        raise ConfigurationError(
            f"{str(path)!r} can't stand in {COMPOSE_FILE} and {ENV_FILE}: a path with a line break, another "
            "character that can't be printed, or '}'; name one without"
        )
    return str(path).replace("$", "$$")


def _yaml(content: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110))


def _env(image: str, kind: SiteKind, gpus: int, dataset: Path | None) -> str:
    lines = [
        "# Settings of compose.yaml; docs/containers.md. A line counts without its #.",
        f"#CONSILIUM_IMAGE={image}",
        f"#CONSILIUM_MEMORY={_MEMORY[kind]}",
        "#CONSILIUM_TMP=4g",
    ]
    if kind == "client":
        lines += [
            "#CONSILIUM_SHM=8g",
            f"#CONSILIUM_GROUP={USER_ID} # number of a group that may read the cases",
            f"{'' if gpus else '#'}COMPOSE_FILE={COMPOSE_FILE}:{GPU_FILE}",
            f"# Folder with the cases on this machine, if it is not {dataset}; it is mounted read-only.",
            "#CONSILIUM_DATA=/srv/cases",
        ]
    return "\n".join(lines) + "\n"
