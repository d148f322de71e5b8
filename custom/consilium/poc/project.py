"""The project file of a proof of concept: participants, data folders and ports."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from consilium.data.files import private_folder, write_atomically
from consilium.errors import ConfigurationError
from consilium.federation.site.local_settings import PROPERTY
from consilium.participant.site_settings import SiteSettings
from consilium.participant.task_data import list_installed
from consilium.process_limits import available_cores
from consilium.provisioning.project_file import read_project_file

_PORTS = {"fed_learn_port": 8002, "admin_port": 8003}
"""FLARE's defaults."""


@dataclass(frozen=True)
class Project:
    """A project file of FLARE with one server, hospitals and users.

    Attributes:
        name: Of the project.
        server: Name of the server.
        sites: What each hospital decides.
        project_admin: Name of the user who starts and stops.
        lead: Name of the user who submits.
        content: The whole file.
    """

    name: str
    server: str
    sites: dict[str, SiteSettings]
    project_admin: str
    lead: str
    content: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Project:
        """Read a project file.

        Raises:
            ConfigurationError: If it is missing or can't be used.
        """
        content = read_project_file(
            path,
            missing="start `consilium poc` in a checkout of Consilium, or name the file: --project FILE",
        )
        participants = content["participants"]
        return cls(
            name=str(content.get("name", "")),
            server=_only(path, participants, "server", type="server"),
            sites={
                one["name"]: SiteSettings.parse(
                    one.get(PROPERTY) or {}, source=f"{path}, {one['name']}, {PROPERTY}"
                )
                for one in participants
                if one.get("type") == "client"
            },
            project_admin=_only(path, participants, "project admin", role="project_admin"),
            lead=_only(path, participants, "lead", role="lead"),
            content=content,
        )

    def on_this_machine(self, hospitals: Mapping[str, Path], caches: Path) -> Project:
        """Return the project with this machine's folders, cores and free ports.

        Args:
            hospitals: Site name to the folder with its cases.
            caches: Where sites keep preprocessed cases.

        Raises:
            ConfigurationError: If a site has no folder.
        """
        threads = max(1, available_cores() // len(self.sites))
        sites = {}
        for name, site in self.sites.items():
            if name not in hospitals or not hospitals[name].is_dir():
                raise ConfigurationError(
                    f"site {name} has no folder with cases; there is {', '.join(sorted(hospitals)) or 'none'}"
                )
            sites[name] = site.model_copy(
                update={
                    "dataset": hospitals[name].resolve(),
                    "cache_dir": caches.resolve() / name,
                    "cpu_threads": site.cpu_threads or threads,
                    "tasks": {**list_installed(), **site.tasks},
                }
            )
        taken: set[int] = set()
        participants = []
        for one in self.content["participants"]:
            changed = dict(one)
            if one["type"] == "client":
                changed[PROPERTY] = sites[one["name"]].model_dump(mode="json", exclude_defaults=True)
            elif one["type"] == "server":
                wanted = {key: int(one.get(key, default)) for key, default in _PORTS.items()}
                ports = {port: _free_port(port, taken) for port in sorted(set(wanted.values()))}
                changed.update({key: ports[port] for key, port in wanted.items()})
            participants.append(changed)
        content = {**self.content, "participants": participants}
        return Project(self.name, self.server, sites, self.project_admin, self.lead, content)

    @property
    def ports(self) -> tuple[int, ...]:
        """The server's ports."""
        server = next(one for one in self.content["participants"] if one["type"] == "server")
        return tuple(sorted({int(server.get(key, default)) for key, default in _PORTS.items()}))

    def write(self, path: Path) -> None:
        """Write the file, for FLARE to read."""
        private_folder(path.parent, ours=False)
        write_atomically(path, yaml.safe_dump(self.content, sort_keys=False).encode(), durable=False)


def _only(path: Path, participants: list[dict[str, Any]], title: str, **wanted: str) -> str:
    names = [
        str(one.get("name"))
        for one in participants
        if all(one.get(key) == value for key, value in wanted.items())
    ]
    if len(names) != 1:
        (key, value), *_ = wanted.items()
        raise ConfigurationError(
            f"{path} names {', '.join(names) or 'nobody'} as {title} (`{key}: {value}`); a POC has one"
        )
    return names[0]


def _free_port(preferred: int, taken: set[int]) -> int:
    """Return the preferred port, or one that the system hands out when somebody else listens there."""
    for candidate in (preferred, 0, 0, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("", candidate))
            except OSError:
                continue
            port = int(probe.getsockname()[1])
        if port not in taken:
            taken.add(port)
            return port
    raise ConfigurationError(f"port {preferred} is taken and the system has no other one free")
