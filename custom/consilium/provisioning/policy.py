"""The site's policy: class list, rights, data folder and enforced settings."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import WorkspaceConstants
from nvflare.app_common.logging.constants import ALLOW_LOG_STREAMING_VAR
from nvflare.app_common.widgets.component_path_authorizer import CLASS_ALLOW_LIST
from nvflare.fuel.utils.class_loader import get_class_name
from pydantic import Field

from consilium.data.files import private_folder
from consilium.federation.monitoring.job_outcomes import JobOutcomes
from consilium.federation.rounds.checkpoints import CHECKPOINTS, SERVER_STORAGE, CheckpointPlace
from consilium.federation.server.continuation import JobContinuation
from consilium.federation.server.site_return import SiteReturn
from consilium.federation.site.local_settings import PROPERTY
from consilium.federation.site.logout import Logout
from consilium.guard.flare_app_validator import FlareAppValidator
from consilium.guard.parties import SiteKind
from consilium.guard.private_files import PrivateFiles
from consilium.guard.server_guard import ServerGuard
from consilium.guard.site_guard import SiteGuard
from consilium.participant.site_settings import SiteSettings
from consilium.recipes.classes import CLIENT_CLASSES, SERVER_CLASSES
from consilium.settings import Settings

APP_VALIDATOR = "app_validator"
"""Key of `resources.json` under which FLARE looks for it."""

SCOPE = "hospital"
"""Name of the one privacy scope that a site has unless its IT department defines others."""

_REPORTER = "nvflare.fuel_opt.statsd.statsd_reporter.StatsDReporter"

_RIGHTS = ("submit_job", "clone_job", "manage_job", "download_job", "get_job_log", "view", "operate")


class MetricsTarget(Settings):
    """Receiver of the server's metrics: a StatsD daemon, or Prometheus' statsd_exporter."""

    host: str = Field(default="localhost", min_length=1, description="Name or address.")
    port: int = Field(default=9125, ge=1, le=65535, description="UDP port.")


class SiteFilter(Settings):
    """A filter that the site applies to every task, whatever the job configures."""

    path: str = Field(pattern=r"^\w+(\.\w+)+$", description="Class path of a FLARE filter.")
    args: dict[str, Any] = Field(default={}, description="Arguments of its constructor.")


def allowed_classes(kind: SiteKind) -> list[str]:
    """Return the classes that FLARE builds for a job at a site: those that our recipes write, and no other.

    FLARE asks the list about a job's components only. What a site's own `resources.json` and `privacy.json`
    name is not looked up, so it need not be here.
    """
    return list(SERVER_CLASSES if kind == "server" else CLIENT_CLASSES)


def job_validator(kind: SiteKind) -> dict[str, Any]:
    """Return the component by which a site looks at every job before it runs."""
    return {"path": get_class_name(FlareAppValidator), "args": {"side": kind}}


def guard(kind: SiteKind, *, log_streams: bool = False) -> dict[str, Any]:
    """Return the component by which a site's processes protect themselves.

    Args:
        kind: Of the site.
        log_streams: Whether the server accepts log files of hospitals.
    """
    if kind == "server":
        return _component("guard", ServerGuard, log_streams=log_streams)
    return _component("guard", SiteGuard)


def write_class_policy(local: Path) -> None:
    """Write `resources.json` with the class allow-list into the `local/` folder that a simulation shares."""
    write_json(
        local / WorkspaceConstants.RESOURCES_CONFIG,
        {"format_version": 2, CLASS_ALLOW_LIST: [*allowed_classes("server"), *allowed_classes("client")]},
    )


def write_site_policy(
    local: Path,
    site: SiteSettings,
    *,
    task_data_filters: Sequence[SiteFilter] = (),
    task_result_filters: Sequence[SiteFilter] = (),
) -> None:
    """Write `privacy.json` with one scope into a `local/` folder.

    Args:
        local: The folder.
        site: Where the site's data is and how much of the machine may be used.
        task_data_filters: Applied to what arrives, before the job's own.
        task_result_filters: Applied to what leaves, before the job's own.
    """
    scope: dict[str, Any] = {
        "name": SCOPE,
        "properties": {PROPERTY: site.model_dump(mode="json", exclude_defaults=True)},
    }
    for key, filters in (
        ("task_data_filters", task_data_filters),
        ("task_result_filters", task_result_filters),
    ):
        if filters:
            scope[key] = [entry.model_dump(mode="json") for entry in filters]
    write_json(
        local / WorkspaceConstants.PRIVACY_CONFIG,
        {"scopes": [scope], "default_scope": SCOPE},
    )


def site_resources(
    default: Mapping[str, Any],
    *,
    kind: SiteKind,
    stream_logs: bool = False,
    metrics: MetricsTarget | None = None,
) -> dict[str, Any]:
    """Return FLARE's resources of a site with our policy in them.

    Args:
        default: What FLARE's provisioning writes for this site.
        kind: Of the site.
        stream_logs: Whether log files may be streamed: at a hospital its own, at the server any hospital's.
        metrics: Where the server sends its jobs' metrics; None to send none. A hospital sends none.

    Raises:
        KeyError: If the resources are not of the form that FLARE 2.9 writes.
    """
    resources = copy.deepcopy(dict(default))
    resources[CLASS_ALLOW_LIST] = allowed_classes(kind)
    resources[APP_VALIDATOR] = job_validator(kind)
    # The first: what the others write is private, and those that start jobs hand on the guard's secret.
    first = [_component("private_files", PrivateFiles), guard(kind, log_streams=stream_logs)]
    resources["components"] = [*first, *resources["components"]]
    if kind == "client":
        resources["components"].append(_component("departure", Logout))
        resources[ALLOW_LOG_STREAMING_VAR] = stream_logs
        return resources
    # FLARE's own folder is shared by all servers of the machine and lost at a reboot.
    snapshots = resources["snapshot_persistor"]["args"]["storage"]["args"]
    snapshots["root_dir"] = f"{{${SERVER_STORAGE}}}/snapshot-storage"
    jobs = {component["id"]: component for component in resources["components"]}["job_manager"]["args"]
    jobs["uri_root"] = f"{{${SERVER_STORAGE}}}/jobs-storage"
    resources[CHECKPOINTS] = CheckpointPlace().model_dump(mode="json")
    resources["components"] += [
        _component(name, component)
        for name, component in (
            ("job_continuation", JobContinuation),
            ("job_outcomes", JobOutcomes),
            ("site_return", SiteReturn),
        )
    ]
    if metrics is not None:
        resources["components"].append(metrics_reporter(metrics))
    return resources


def _component(name: str, kind: type, **arguments: Any) -> dict[str, Any]:
    return {"id": name, "path": get_class_name(kind), "args": arguments}


def metrics_reporter(target: MetricsTarget) -> dict[str, Any]:
    """Return the component that sends what is published in its process to a StatsD daemon.

    It is FLARE's own; its code needs the package `datadog`, of the extra `monitoring`.
    """
    return {"id": "metrics_reporter", "path": _REPORTER, "args": target.model_dump(mode="json")}


def authorization_policy(kind: SiteKind) -> dict[str, Any]:
    """Return the authorization policy: FLARE's default rights, without code in jobs.

    At a hospital no user reads files remotely: a hospital knows the user of a command only by what the
    server says. Of the right `operate`, `SiteGuard` rejects everything there except `sys_info` and
    `report_resources`.
    """
    nobody = {"byoc": "none", "server-predeployed-flwr": "none"}
    files = {"shell_commands": "o:site" if kind == "server" else "none"}
    # What the server keeps of a job's logs is part of its download as well. FLARE 2.9 has no category for the
    # command, so the right has the command's own name.
    own_jobs = dict.fromkeys(("clone_job", "manage_job", "download_job", "get_job_log"), "n:submitter")
    return {
        "format_version": "1.0",
        "permissions": {
            # FLARE's "any" would include the right to bring code.
            "project_admin": {**dict.fromkeys(_RIGHTS, "any"), **files, **nobody},
            "org_admin": {
                "submit_job": "none",
                "clone_job": "none",
                "manage_job": "o:submitter",
                "download_job": "o:submitter",
                "get_job_log": "o:submitter",
                "view": "any",
                "operate": "o:site",
                **files,
                **nobody,
            },
            "lead": {"submit_job": "any", **own_jobs, "view": "any", "operate": "o:site", **files, **nobody},
            "member": {"view": "any", **nobody},
        },
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object as a person would want to read and edit it."""
    private_folder(path.parent, ours=False)
    path.write_text(json.dumps(content, indent=2) + "\n")
