"""A startup kit on disk: its kind, owner and server."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from cryptography import x509
from nvflare.apis.fl_constant import WorkspaceConstants
from nvflare.tool.deploy.deploy_common import (
    DOCKER_START_SH,
    SLURM_PARENT_SH,
    SLURM_START_SH,
    START_SH,
    STOP_FL_SH,
    SUB_START_SH,
)

from consilium.errors import ConfigurationError
from consilium.guard.parties import SiteKind

PreparedRuntime = Literal["docker", "k8s", "slurm"]
"""What `consilium kits prepare` can make a kit for."""

Runtime = Literal["process", PreparedRuntime]
"""What starts jobs at a site: a process of the kit as it was provisioned, or what it is prepared for."""

_STARTUP_FILES: dict[SiteKind, str] = {"client": "fed_client.json", "server": "fed_server.json"}
_ADMIN_FILE = "fed_admin.json"
_START_SCRIPTS: dict[Runtime, tuple[str, ...]] = {
    "process": (START_SH, SUB_START_SH, STOP_FL_SH),
    "docker": (DOCKER_START_SH,),
    "k8s": (),
    "slurm": (SUB_START_SH, SLURM_START_SH),
}
_SCRIPT_SETTING = re.compile(r"\b(uid|org)=([^\s\"']+)")


@dataclass(frozen=True)
class Endpoint:
    """Where the federation's server listens.

    Attributes:
        host: Host name or address.
        port: TCP port.
        scheme: FLARE's driver: `grpc`, `http` (WebSocket over TLS) or `tcp`.
        security: `mtls`, `tls` (no client certificate) or `clear`.
    """

    host: str
    port: int
    scheme: str
    security: str


class Kit:
    """The startup kit of a hospital or of the server.

    Args:
        root: The folder that holds `startup/` and `local/`.

    Raises:
        ConfigurationError: If it is not a site's kit, or its startup configuration can't be read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.startup = root / "startup"
        self.local = root / "local"
        self.kind = _find_kind(root)
        self._config = self.read_json(f"startup/{_STARTUP_FILES[self.kind]}")
        try:
            self._service = self._config["servers"][0]
            self._site = self._config["client"] if self.kind == "client" else self._service
            host, _, port = str(self._service["service"]["target"]).rpartition(":")
            self.endpoint = Endpoint(
                host.strip("[]"),
                int(port),
                str(self._service["service"].get("scheme", "grpc")),
                str(self._site.get("connection_security", "mtls")),
            )
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ConfigurationError(
                f"{root}/startup/{_STARTUP_FILES[self.kind]} does not say where the server is "
                f"(servers[0].service.target, as host:port): {error!r}; ask the project admin for the kit "
                "again"
            ) from None

    @property
    def startup_file(self) -> str:
        """The startup configuration, relative to the kit."""
        return f"startup/{_STARTUP_FILES[self.kind]}"

    @property
    def certificate_file(self) -> str:
        """The site's certificate, with intermediates if there are any, relative to the kit."""
        return f"startup/{self._site.get('ssl_cert', f'{self.kind}.crt')}"

    @property
    def key_file(self) -> str:
        """The private key, relative to the kit."""
        return f"startup/{self._site.get('ssl_private_key', f'{self.kind}.key')}"

    @property
    def ca_file(self) -> str:
        """The federation's root certificate, relative to the kit."""
        return f"startup/{self._site.get('ssl_root_cert', 'rootCA.pem')}"

    @property
    def project(self) -> str:
        """The federation's name."""
        return str(self._service.get("name", ""))

    @property
    def server_identity(self) -> str:
        """Common name that the server's certificate has to bear."""
        return str(self._service.get("identity") or self._service.get("admin_server") or self.endpoint.host)

    @property
    def site_name(self) -> str:
        """Name under which this site joins: of a hierarchy the last part."""
        if self.kind == "server":
            return self.server_identity
        return str(self._site.get("fqsn", "")).rpartition(".")[2] or self.root.resolve().name

    @cached_property
    def runtime(self) -> Runtime:
        """What starts jobs here: `process`, or what `nvflare deploy prepare` has made the kit for."""
        try:
            resources = self.read_json(self.policy_file(WorkspaceConstants.RESOURCES_CONFIG) or "")
            launchers = {component.get("id") for component in resources.get("components", [])}
        except (ConfigurationError, TypeError, AttributeError):
            return "process"
        return next(
            (name for name in get_args(PreparedRuntime) if f"{name}_launcher" in launchers), "process"
        )

    @property
    def start_scripts(self) -> tuple[str, ...]:
        """The scripts in `startup/` that this kit must have."""
        return _START_SCRIPTS[self.runtime]

    @property
    def runtime_scripts(self) -> tuple[str, ...]:
        """The scripts in `startup/` that `nvflare deploy prepare` writes, unsigned."""
        return () if self.runtime == "process" else (DOCKER_START_SH, SLURM_START_SH, SLURM_PARENT_SH)

    @cached_property
    def script_settings(self) -> dict[str, str]:
        """`uid` and `org`, as `startup/sub_start.sh` hands them to FLARE; empty if there is no script."""
        try:
            return dict(_SCRIPT_SETTING.findall(self.read_text("startup/sub_start.sh")))
        except ConfigurationError:
            return {}  # a kit for containers has none

    def policy_file(self, name: str) -> str | None:
        """Return the file in `local/` that FLARE reads, relative to the kit: NAME before NAME.default."""
        for candidate in (f"local/{name}", f"local/{name}.default"):
            if (self.root / candidate).exists():
                return candidate
        return None

    def read_text(self, name: str) -> str:
        """Read a file of the kit.

        Raises:
            ConfigurationError: If it is missing or can't be read; the message names it relative to the kit.
        """
        try:
            return (self.root / name).read_text()
        except FileNotFoundError:
            raise ConfigurationError(f"{name} is missing") from None
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ConfigurationError(f"{name} can't be read: {reason}") from None

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON object of the kit.

        Raises:
            ConfigurationError: If it is missing, can't be read, or is not a JSON object.
        """
        try:
            content = json.loads(self.read_text(name))
        except json.JSONDecodeError as error:
            raise ConfigurationError(f"{name} is not valid JSON: {error}") from None
        if not isinstance(content, dict):
            raise ConfigurationError(f"{name} holds a {type(content).__name__}, not a JSON object")
        return content

    def read_certificates(self, name: str) -> list[x509.Certificate]:
        """Read the certificates of a PEM file, the site's own first.

        Raises:
            ConfigurationError: If it is missing, can't be read, or holds no certificate.
        """
        try:
            return x509.load_pem_x509_certificates(self.read_text(name).encode())
        except ValueError:
            raise ConfigurationError(f"{name} holds no certificate in PEM form") from None


def editable(name: str) -> str:
    """Return how a remedy names a file of `local/` to edit: a copy of a default, which FLARE reads first.

    Args:
        name: The file that is read now, relative to the kit.
    """
    copy = name.removesuffix(".default")
    return name if copy == name else f"{copy} (first: cp -p {name} {copy})"


def _find_kind(root: Path) -> SiteKind:
    if not root.is_dir():
        hint = "unpack it first" if root.is_file() else "name the folder that the project admin sent"
        raise ConfigurationError(f"{root} is not a folder; {hint}: it holds startup/ and local/")
    kinds = [kind for kind, name in _STARTUP_FILES.items() if (root / "startup" / name).is_file()]
    if len(kinds) == 1:
        return kinds[0]
    if (root / "startup" / _ADMIN_FILE).is_file():
        raise ConfigurationError(
            f"{root} is the kit of a user of the console ({_ADMIN_FILE}); name the kit of a site, which has "
            f"startup/{_STARTUP_FILES['client']}"
        )
    raise ConfigurationError(
        f"{root} is not a site's startup kit: there must be one of "
        f"{', '.join(f'startup/{name}' for name in _STARTUP_FILES.values())}, and there are {len(kinds)}; "
        "name the folder of one participant"
    )
