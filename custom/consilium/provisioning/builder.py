"""FLARE builder that writes each site's policy into its startup kit and keeps the kit private."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal, get_args

from cryptography import x509
from nvflare.apis.fl_constant import WorkspaceConstants
from nvflare.fuel.utils.class_loader import get_class_name
from nvflare.lighter.constants import CtxKey, PropKey, ProvFileName
from nvflare.lighter.entity import Participant
from nvflare.lighter.spec import Builder, Project, ProvisionContext

from consilium.data.files import close_tree, private_folder
from consilium.errors import ConfigurationError
from consilium.federation.site.local_settings import PROPERTY
from consilium.guard.parties import SiteKind
from consilium.guard.private_files import PrivateLogHandler
from consilium.participant.site_settings import SiteSettings
from consilium.processes import keep_new_files_private
from consilium.provisioning.communication import COMM_CONFIG, communication
from consilium.provisioning.kit_versions import write_expected_versions
from consilium.provisioning.policy import (
    MetricsTarget,
    SiteFilter,
    authorization_policy,
    site_resources,
    write_json,
    write_site_policy,
)
from consilium.provisioning.project_file import check_participants
from consilium.provisioning.runtimes.docker_compose import write_compose_files
from consilium.provisioning.start_scripts import correct_scripts

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

_LOGGED_PACKAGE = "consilium"


class SitePolicyBuilder(Builder):  # type: ignore[misc]
    """Writes `local/` in the server's and every hospital's kit.

    Stands after FLARE's `StaticFileBuilder` in the project file, and before the signatures. What FLARE wrote
    as `*.default` is changed in place: a hospital that wants it tighter puts a file without `.default` beside
    it, which FLARE prefers, and `nvflare deploy prepare` carries the default over to its runtimes.

    The kits, the project's folder and `state/` with the root key are closed to other accounts, and so is what
    a kit's scripts start: they set umask 077. So does this builder, for the rest of the process that
    provisions, as FLARE writes the root key last. The scripts start a kit once only.

    Every client has the property `consilium`, the site's settings (see `docs/site.md`), and may have
    `allow_log_streaming: true`.

    Args:
        site: Settings of a client without that property. A hospital that makes its own kit writes them here:
            `nvflare cert request` sends a participant's properties to the project admin, and no builder's.
        task_data_filters: Site-enforced filters of what arrives, each with `path` and `args`.
        task_result_filters: Site-enforced filters of what leaves.
        log_level: Of all sites.
        metrics: `host` and `port` of the StatsD daemon to which the server sends its jobs' metrics, see
            `provision/monitoring/README.md`; none are sent without it.

    Raises:
        ConfigurationError: If an argument can't be used.
    """

    def __init__(
        self,
        site: Mapping[str, Any] | None = None,
        task_data_filters: Sequence[Mapping[str, Any]] = (),
        task_result_filters: Sequence[Mapping[str, Any]] = (),
        log_level: LogLevel = "INFO",
        metrics: Mapping[str, Any] | None = None,
    ) -> None:
        if log_level not in get_args(LogLevel):
            raise ConfigurationError(
                f"SitePolicyBuilder: log_level is {log_level!r}; allowed: {', '.join(get_args(LogLevel))}"
            )
        self._log_level = log_level
        self._metrics = (
            None if metrics is None else MetricsTarget.parse(metrics, source="SitePolicyBuilder, metrics")
        )
        self._data_filters = _parse_filters(task_data_filters, "task_data_filters")
        self._result_filters = _parse_filters(task_result_filters, "task_result_filters")
        self._default = SiteSettings.parse(site, source="SitePolicyBuilder, site") if site else None
        self._sites: dict[str, SiteSettings] = {}

    def initialize(self, project: Project, ctx: ProvisionContext) -> None:
        """Check every hospital's settings in the project file, before anything is written.

        Raises:
            ConfigurationError: If a client has a name, or settings, that can't be used, or what an earlier
                provisioning left can't be closed to others.
        """
        keep_new_files_private()
        check_participants(
            [
                {**one.props, "name": one.name, "type": one.type, "org": one.org}
                for one in project.get_all_participants()
            ],
            "project file",
        )
        _close(Path(ctx.get_workspace()), Path(ctx.get_state_dir()))
        self.read_sites({client.name: client.props for client in project.get_clients()})

    def read_sites(self, clients: Mapping[str, Mapping[str, Any]]) -> None:
        """Read the settings of every hospital.

        Args:
            clients: The properties of each by its name.

        Raises:
            ConfigurationError: If one has none, or some that can't be used.
        """
        self._sites = {
            name: _site_settings(name, properties, self._default) for name, properties in clients.items()
        }

    def build(self, project: Project, ctx: ProvisionContext) -> None:
        """Write the policies.

        Raises:
            ConfigurationError: If FLARE wrote its files in another form than that of 2.9, or the server would
                listen with FLARE's TCP driver.
        """
        for participant in project.get_all_participants():
            correct_scripts(Path(ctx.get_kit_dir(participant)), participant)
        server = project.get_server()
        _require_unblockable_driver(Path(ctx.get_kit_dir(server)) / ProvFileName.FED_SERVER_JSON)
        streaming = any(_streams_logs(client) for client in project.get_clients())
        self._write_policy(server, ctx, kind="server", stream_logs=streaming, metrics=self._metrics)
        for client in project.get_clients():
            self._write_policy(client, ctx, kind="client", stream_logs=_streams_logs(client))
            write_site_policy(
                Path(ctx.get_local_dir(client)),
                self._sites[client.name],
                task_data_filters=self._data_filters,
                task_result_filters=self._result_filters,
            )

    def finalize(self, project: Project, ctx: ProvisionContext) -> None:
        """Close the kits to other accounts: FLARE makes its scripts readable by all.

        Raises:
            ConfigurationError: If they can't be closed.
        """
        _close(Path(ctx.get_workspace()), Path(ctx.get_wip_dir()))
        _warn_of_names_without_certificate(project, ctx)

    def _write_policy(
        self,
        site: Participant,
        ctx: ProvisionContext,
        *,
        kind: SiteKind,
        stream_logs: bool,
        metrics: MetricsTarget | None = None,
    ) -> None:
        local = Path(ctx.get_local_dir(site))
        resources = local / WorkspaceConstants.DEFAULT_RESOURCES_CONFIG
        logs = local / WorkspaceConstants.DEFAULT_LOGGING_CONFIG
        try:
            write_json(
                resources,
                site_resources(
                    json.loads(resources.read_text()), kind=kind, stream_logs=stream_logs, metrics=metrics
                ),
            )
            write_json(logs, _log_config(json.loads(logs.read_text()), self._log_level))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{site.name}: the kit has no {resources.name} or {logs.name} as nvflare 2.9 writes them "
                f"({type(error).__name__}: {error}); SitePolicyBuilder must follow StaticFileBuilder in the "
                "project file"
            ) from error
        write_json(local / WorkspaceConstants.DEFAULT_AUTHORIZATION_CONFIG, authorization_policy(kind))
        # Not as a default: `nvflare deploy prepare` adds its own settings to this file, and knows no other.
        write_json(local / COMM_CONFIG, communication(kind))
        if site.get_listening_host():
            ctx.warning(
                f"{site.name}: FLARE writes its own {COMM_CONFIG} for a site with listening_host, without "
                "Consilium's settings for slow connections; merge the two by hand (docs/provisioning.md)"
            )
        write_expected_versions(Path(ctx.get_ws_dir(site)))
        write_compose_files(
            Path(ctx.get_ws_dir(site)),
            site.name,
            kind=kind,
            ports=sorted({ctx.get(CtxKey.FED_LEARN_PORT), ctx.get(CtxKey.ADMIN_PORT)}),
            settings=self._sites.get(site.name),
            gpus=(site.get_prop(PropKey.CAPACITY) or {}).get("num_of_gpus", 0),
        )
        (local / ProvFileName.PRIVACY_JSON_SAMPLE).unlink(missing_ok=True)


def _warn_of_names_without_certificate(project: Project, ctx: ProvisionContext) -> None:
    """Say which names of the server its certificate doesn't hold: FLARE keeps one that exists as it is."""
    server = project.get_server()
    path = Path(ctx.get_kit_dir(server)) / "server.crt"
    if not path.is_file():
        return  # a hospital makes its own kit
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    names = {str(name.value).lower() for name in held}
    wanted = {server.get_default_host(), *(server.get_prop(PropKey.HOST_NAMES) or [])}
    missing = sorted(name for name in wanted if str(name).lower() not in names)
    if missing:
        ctx.warning(
            f"{server.name}: its certificate holds {', '.join(sorted(names))}, and not {', '.join(missing)}: "
            "who connects to that name is turned away. Renew it: docs/provisioning.md, Renew a certificate"
        )


def _streams_logs(client: Participant) -> bool:
    return client.get_prop(PropKey.ALLOW_LOG_STREAMING, False) is True


def _require_unblockable_driver(startup_config: Path) -> None:
    """Raise if a stranger could block the server's connections.

    FLARE's TCP driver does the TLS handshake in the one thread that accepts connections, and waits for it
    without end: a silent connection, which takes no certificate, keeps all others out. Its
    gRPC and HTTP drivers don't.
    """
    try:
        scheme = json.loads(startup_config.read_text())["servers"][0]["service"]["scheme"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigurationError(
            f"the server's kit has no {startup_config.name} as nvflare 2.9 writes it "
            f"({type(error).__name__}); SitePolicyBuilder must follow StaticFileBuilder in the project file"
        ) from error
    check_scheme(scheme)


def check_scheme(scheme: Any) -> None:
    """Raise for a scheme that FLARE has no driver for, or that a stranger can block.

    Raises:
        ConfigurationError: If it is neither grpc nor http.
    """
    if scheme not in ("grpc", "http"):
        raise ConfigurationError(
            f"StaticFileBuilder's scheme is {scheme!r}; allowed: grpc, http. With tcp anybody who connects "
            "to the server and stays silent blocks all hospitals. Change it in the project file, and "
            "provision again"
        )


def _parse_filters(filters: Sequence[Mapping[str, Any]], name: str) -> tuple[SiteFilter, ...]:
    return tuple(
        SiteFilter.parse(entry, source=f"SitePolicyBuilder, {name}[{index}]")
        for index, entry in enumerate(filters)
    )


def _site_settings(name: str, properties: Mapping[str, Any], default: SiteSettings | None) -> SiteSettings:
    if PROPERTY not in properties and default:
        return default
    if not isinstance(properties.get(PROPERTY), Mapping):
        near = difflib.get_close_matches(PROPERTY, list(properties), n=1)
        hint = f"did you mean {PROPERTY!r} by {near[0]!r}?" if near else "for example"
        raise ConfigurationError(
            f"client {name!r} has no settings under {PROPERTY!r}; {hint}\n"
            f"  {PROPERTY}:\n    dataset: /data/north"
        )
    settings: SiteSettings = SiteSettings.parse(
        properties[PROPERTY], source=f"client {name!r}, property {PROPERTY!r}"
    )
    return settings


def _log_config(default: dict[str, Any], level: LogLevel) -> dict[str, Any]:
    default["loggers"]["root"]["level"] = level
    for name, handler in default["handlers"].items():
        if "filename" not in handler:
            continue
        if handler["class"] != get_class_name(RotatingFileHandler):
            raise ValueError(f"{name} writes a file with {handler['class']}, which can't be kept private")
        handler["class"] = get_class_name(PrivateLogHandler)
    names = default["filters"]["FLFilter"]["logger_names"]
    names.extend([] if _LOGGED_PACKAGE in names else [_LOGGED_PACKAGE])
    return default


def _close(project: Path, folder: Path) -> None:
    """Close a folder of the project with all that is in it, and the project's folder around it."""
    try:
        private_folder(project)
        close_tree(folder)
    except OSError as error:
        raise ConfigurationError(
            f"other accounts of this machine can read keys below {project}, and that can't be changed "
            f"({error}); provision as the owner of the workspace, on a file system that keeps modes"
        ) from error
