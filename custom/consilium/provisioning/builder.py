"""FLARE builder that writes each site's own policy into its startup kit, and closes kits to others."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal, get_args

from nvflare.apis.fl_constant import WorkspaceConstants
from nvflare.fuel.utils.class_loader import get_class_name
from nvflare.lighter.constants import ParticipantType, PropKey, ProvFileName
from nvflare.lighter.entity import Participant
from nvflare.lighter.spec import Builder, Project, ProvisionContext

from consilium.data.files import close_tree, private_folder
from consilium.errors import ConfigurationError
from consilium.federation.rounds.durable_rounds import SERVER_STORAGE
from consilium.federation.site.settings import PROPERTY
from consilium.guard.private_files import PrivateLogHandler
from consilium.learning.site_settings import SiteSettings
from consilium.processes import keep_new_files_private
from consilium.provisioning.communication import COMM_CONFIG, communication
from consilium.provisioning.kit_versions import write_expected_versions
from consilium.provisioning.policy import (
    MetricsTarget,
    SiteFilter,
    SiteKind,
    authorization_policy,
    site_resources,
    write_json,
    write_site_policy,
)

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

_SHEBANG = "#!/usr/bin/env bash\n"
UMASK_LINE = (
    "umask 077 # what this starts, and all that it writes, is closed to the machine's other accounts\n"
)
"""The second line of every script of a kit."""

_SCRIPTS: Mapping[str, tuple[str, ...]] = {
    ParticipantType.SERVER: (ProvFileName.START_SH, ProvFileName.SUB_START_SH, ProvFileName.STOP_FL_SH),
    ParticipantType.CLIENT: (ProvFileName.START_SH, ProvFileName.SUB_START_SH, ProvFileName.STOP_FL_SH),
    ParticipantType.ADMIN: (ProvFileName.FL_ADMIN_SH,),
}
"""The scripts that FLARE writes into every kit of a kind; some builders add others."""

_WORKSPACE_IS_KNOWN = 'echo "WORKSPACE set to $WORKSPACE"\n'
_LOGGED_PACKAGE = "consilium"

_MEMORY = "glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0:glibc.malloc.mmap_threshold=65536"
"""What the C library is told. By itself it keeps what is freed for each of the server's hundreds of threads,
and pieces of models among it; so all of them share it, and what is longer than 64 KiB goes back at once.
FLARE's script sets `MALLOC_ARENA_MAX=4` besides, over which this wins. Another C library takes no notice."""


class SitePolicyBuilder(Builder):  # type: ignore[misc]
    """Write `local/` of the server's and every hospital's kit.

    Stands after FLARE's `StaticFileBuilder` in the project file, and before the signatures. What FLARE wrote
    as `*.default` is changed in place: a hospital that wants it tighter puts a file without `.default` beside
    it, which FLARE prefers, and `nvflare deploy prepare` carries the default over to its runtimes.

    The kits, the project's folder and `state/` with the root key are closed to other accounts, and so is what
    a kit's scripts start: they set umask 077. So does this builder, for the rest of the process that
    provisions, as FLARE writes the root key last.

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
        """Check what the project file says about every hospital, before anything is written.

        Raises:
            ConfigurationError: If a client has no settings, or some that can't be used, or what an earlier
                provisioning left can't be closed to others.
        """
        keep_new_files_private()
        _close(Path(ctx.get_workspace()), Path(ctx.get_state_dir()))
        self._sites = {client.name: _site_settings(client, self._default) for client in project.get_clients()}

    def build(self, project: Project, ctx: ProvisionContext) -> None:
        """Write the policies.

        Raises:
            ConfigurationError: If FLARE wrote its files in another form than that of 2.9, or the server would
                listen with FLARE's TCP driver.
        """
        for participant in project.get_all_participants():
            _set_umask(Path(ctx.get_kit_dir(participant)), participant)
        server = project.get_server()
        _refuse_driver_that_can_be_blocked(Path(ctx.get_kit_dir(server)) / ProvFileName.FED_SERVER_JSON)
        streaming = any(_streams_logs(client) for client in project.get_clients())
        self._write_policy(server, ctx, kind="server", stream_logs=streaming, metrics=self._metrics)
        _tell_processes(Path(ctx.get_kit_dir(server)) / ProvFileName.SUB_START_SH)
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
                f"({type(error).__name__}: {error}); SitePolicyBuilder stands after StaticFileBuilder in the "
                "project file"
            ) from error
        write_json(local / WorkspaceConstants.DEFAULT_AUTHORIZATION_CONFIG, authorization_policy(kind))
        # Not as a default: `nvflare deploy prepare` adds its own settings to this file, and knows no other.
        write_json(local / COMM_CONFIG, communication(kind))
        if site.get_listening_host():
            ctx.warning(
                f"{site.name}: FLARE writes its own {COMM_CONFIG} for a site with listening_host, without "
                "Consilium's settings for thin and long lines; merge the two by hand (docs/provisioning.md)"
            )
        write_expected_versions(Path(ctx.get_ws_dir(site)))
        (local / ProvFileName.PRIVACY_JSON_SAMPLE).unlink(missing_ok=True)


def _streams_logs(client: Participant) -> bool:
    return client.get_prop(PropKey.ALLOW_LOG_STREAMING, False) is True


def _refuse_driver_that_can_be_blocked(startup_config: Path) -> None:
    """Refuse a server whose connections a stranger can keep from coming about.

    FLARE's TCP driver does the TLS handshake in the one thread that accepts connections, and waits for it
    without end: whoever connects and says nothing, which takes no certificate, keeps all others out. Its
    gRPC and HTTP drivers don't.
    """
    try:
        scheme = json.loads(startup_config.read_text())["servers"][0]["service"]["scheme"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigurationError(
            f"the server's kit has no {startup_config.name} as nvflare 2.9 writes it "
            f"({type(error).__name__}); SitePolicyBuilder stands after StaticFileBuilder in the project file"
        ) from error
    if scheme == "tcp":
        raise ConfigurationError(
            "StaticFileBuilder's scheme is 'tcp'; allowed: grpc, http. With tcp anybody who connects to the "
            "server and says nothing keeps all hospitals out. Change it in the project file, provision again"
        )


def _parse_filters(filters: Sequence[Mapping[str, Any]], name: str) -> tuple[SiteFilter, ...]:
    return tuple(
        SiteFilter.parse(entry, source=f"SitePolicyBuilder, {name}[{index}]")
        for index, entry in enumerate(filters)
    )


def _site_settings(client: Participant, default: SiteSettings | None) -> SiteSettings:
    properties = client.props
    if PROPERTY not in properties and default:
        return default
    if not isinstance(properties.get(PROPERTY), Mapping):
        near = difflib.get_close_matches(PROPERTY, list(properties), n=1)
        hint = f"did you mean {PROPERTY!r} by {near[0]!r}?" if near else "for example"
        raise ConfigurationError(
            f"client {client.name!r} has no settings under {PROPERTY!r}; {hint}\n"
            f"  {PROPERTY}:\n    dataset: /data/brats"
        )
    settings: SiteSettings = SiteSettings.parse(
        properties[PROPERTY], source=f"client {client.name!r}, property {PROPERTY!r}"
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


def _set_umask(startup: Path, participant: Participant) -> None:
    """Let every script of a kit set the umask first."""
    scripts = {script.name: script for script in startup.glob("*.sh")}
    missing = [name for name in _SCRIPTS.get(participant.type, ()) if name not in scripts]
    unlike = [name for name, script in scripts.items() if not script.read_text().startswith(_SHEBANG)]
    if missing or unlike:
        raise ConfigurationError(
            f"{participant.name}: {', '.join([*missing, *unlike])} of the kit is missing, or no bash script "
            "as nvflare 2.9 writes it, so it can't be made to set umask 077; provision with nvflare 2.9, and "
            "with SitePolicyBuilder after StaticFileBuilder in the project file"
        )
    for script in scripts.values():
        script.write_text(script.read_text().replace(_SHEBANG, _SHEBANG + UMASK_LINE, 1))


def _tell_processes(script: Path) -> None:
    """Let the server's start script say where its workspace is, and how its processes keep memory.

    Nobody knows at provisioning where the workspace will be.
    """
    text = script.read_text()
    if text.count(_WORKSPACE_IS_KNOWN) != 1:
        raise ConfigurationError(
            f"{script.name} of the server is not as nvflare 2.9 writes it, so it can't be told to keep its "
            "jobs in its workspace; provision with nvflare 2.9"
        )
    exports = "".join(
        f'export {name}="${{{name}:-{value}}}"\n'
        for name, value in ((SERVER_STORAGE, "$WORKSPACE"), ("GLIBC_TUNABLES", _MEMORY))
    )
    script.write_text(text.replace(_WORKSPACE_IS_KNOWN, exports + _WORKSPACE_IS_KNOWN))
