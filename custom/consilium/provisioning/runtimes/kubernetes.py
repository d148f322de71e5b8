"""A kit for Kubernetes: all manifests of a site, for `kubectl apply -f`."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from nvflare.apis.fl_constant import WorkspaceConstants
from nvflare.fuel.utils.class_loader import get_class_name
from nvflare.tool.deploy.k8s_deploy import HELM_CHART_DIR

from consilium.errors import ConfigurationError
from consilium.federation.site.local_settings import PROPERTY
from consilium.federation.site.pod_jobs import JOB_POD, SitePodLauncher
from consilium.provisioning.communication import COMM_CONFIG
from consilium.provisioning.kit import Kit
from consilium.provisioning.policy import write_json
from consilium.provisioning.runtimes import manifests
from consilium.provisioning.runtimes.cluster import Cluster
from consilium.provisioning.runtimes.pods import LASTING, Site, job_pod, server_pod, site_pod

MANIFESTS: Final = "kubernetes"
"""Folder of the manifests in a prepared kit."""

LAUNCHER: Final = "k8s_launcher"

_DEFAULT_CACHE_GIB: Final = 200
_SERVICE_OF_SERVER: Final = "consilium-server"


def flare_configuration(cluster: Cluster) -> dict[str, Any]:
    """Return the configuration with which FLARE prepares a hospital's kit."""
    return {
        "runtime": "k8s",
        "namespace": cluster.namespace,
        "parent": {
            "docker_image": cluster.image,
            "python_path": cluster.python_path,
            "parent_port": cluster.parent_port,
            "internal_connection_security": "mtls",
        },
        "job_launcher": {
            "default_python_path": cluster.python_path,
            "pending_timeout": cluster.job.pending_seconds,
            **(
                {"image_pull_secrets": list(cluster.image_pull_secrets)} if cluster.image_pull_secrets else {}
            ),
        },
    }


def harden(made: Path, resources: dict[str, Any], cluster: Cluster) -> None:
    """Configure a hospital's jobs as restricted pods with persistent storage.

    Args:
        made: The kit as FLARE prepared it; changed.
        resources: Its `resources.json.default`; changed.
        cluster: The settings.

    Raises:
        ConfigurationError: If the kit is not as SitePolicyBuilder writes it.
    """
    (component,) = (one for one in resources["components"] if one["id"] == LAUNCHER)
    component["path"] = get_class_name(SitePodLauncher)
    component["args"].update(image=cluster.image, ephemeral_storage=cluster.job.scratch)
    _keep_on_volume(made)
    site = _hospital(made)
    (made / JOB_POD).write_text(yaml.safe_dump(job_pod(site, cluster), sort_keys=False))


def write_manifests(kit: Kit, made: Path, cluster: Cluster) -> None:
    """Write the manifests of a hospital or of the server into its prepared kit.

    Args:
        kit: The kit as provisioned.
        made: The prepared kit, otherwise complete: its files are in the manifests.
        cluster: The settings.
    """
    if kit.kind == "client":
        site = _hospital(made)
        command = _flares_command(made)
        shutil.rmtree(made / HELM_CHART_DIR)
        volumes = {
            "workspace": cluster.storage.workspace_gib,
            "lasting": cluster.storage.cache_gib or _cache_gib(made) * 11 // 10,
        }
        pod = site_pod(site, cluster, command)
        parts = {
            **manifests.base(site, cluster, volumes, _files(made)),
            "30-access": manifests.launcher_access(site, cluster),
            "40-network": manifests.hospital_network(site, cluster),
            "50-limits": [manifests.job_limits(cluster)],
        }
        ports = {"jobs": cluster.parent_port}
    else:
        site = Site(_SERVICE_OF_SERVER, kit.endpoint.port)
        pod = server_pod(site, cluster)
        parts = {
            **manifests.base(site, cluster, {"workspace": cluster.storage.workspace_gib}, _files(made)),
            "30-access": [manifests.account(site.name, cluster)],
            "40-network": manifests.server_network(site, cluster),
        }
        ports = {"federation": kit.endpoint.port}
    parts["60-site"] = [
        manifests.deployment(site, cluster, pod, checksum=_checksum(made)),
        manifests.service(site, cluster, ports, "ClusterIP" if kit.kind == "client" else cluster.service),
    ]
    folder = made / MANIFESTS
    folder.mkdir(mode=0o700)
    for name, documents in parts.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(documents, sort_keys=False))


def _hospital(made: Path) -> Site:
    """Return the name of a hospital's service, as FLARE wrote it into the kit, and the server's port."""
    internal = json.loads((made / "local" / COMM_CONFIG).read_text())["internal"]
    return Site(internal["resources"]["host"], Kit(made).endpoint.port)


def _keep_on_volume(made: Path) -> None:
    """Move `cache_dir` and `state_dir` of every scope to the volume that lasts, unless they are absolute."""
    path = made / "local" / WorkspaceConstants.PRIVACY_CONFIG
    privacy = json.loads(path.read_text())
    for settings in _settings_of(privacy):
        for name, default in (("cache_dir", "cache"), ("state_dir", "site_state")):
            folder = Path(settings.get(name, default))
            if ".." in folder.parts:
                raise ConfigurationError(
                    f"local/privacy.json: {name} is {folder}; allowed: a path without .."
                )
            if not folder.is_absolute() and folder.parts[:1] != (LASTING,):
                settings[name] = str(Path(LASTING) / folder)
    write_json(path, privacy)


def _cache_gib(made: Path) -> int:
    privacy = json.loads((made / "local" / WorkspaceConstants.PRIVACY_CONFIG).read_text())
    return max(int(one.get("cache_gib") or _DEFAULT_CACHE_GIB) for one in _settings_of(privacy))


def _settings_of(privacy: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = [scope.get("properties", {}).get(PROPERTY) for scope in privacy.get("scopes", [])]
    if not found or None in found:
        raise ConfigurationError(
            "local/privacy.json has a scope without settings under `consilium`; docs/site.md shows them"
        )
    return found


def _flares_command(made: Path) -> list[str]:
    """Return how FLARE would start the site in its chart, which is replaced."""
    values = yaml.safe_load((made / HELM_CHART_DIR / "values.yaml").read_text())
    return [*values["command"], *values["args"], f"uid={values['siteName']}"]


def _files(made: Path) -> dict[str, dict[str, str]]:
    """Return the files of `startup/` and `local/`, in base64."""
    return {
        folder: {
            path.name: base64.b64encode(path.read_bytes()).decode()
            for path in sorted((made / folder).iterdir())
            if path.is_file()
        }
        for folder in ("startup", "local")
    }


def _checksum(made: Path) -> str:
    return hashlib.sha256(json.dumps(_files(made), sort_keys=True).encode()).hexdigest()
