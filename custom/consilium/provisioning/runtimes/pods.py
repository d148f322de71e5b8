"""The pods of a site in Kubernetes: the site itself and, at a hospital, its jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from nvflare.tool.deploy.deploy_common import WORKSPACE_MOUNT_PATH

from consilium.provisioning.runtimes.cluster import Cluster, Resources
from consilium.provisioning.start_scripts import memory_environment

Document = dict[str, Any]

LASTING: Final = "lasting"
"""Folder in a hospital's workspace that outlives its jobs' pods: a volume of its own."""

JOB: Final = "consilium-job"
"""Label, service account and container of a hospital's jobs."""

APP: Final = "app.kubernetes.io/name"


@dataclass(frozen=True)
class Site:
    """A site in the cluster.

    Attributes:
        name: Of its service, and the first part of what else it has.
        server_port: The federation's port.
    """

    name: str
    server_port: int


def site_pod(site: Site, cluster: Cluster, command: list[str]) -> Document:
    """Return the pod of a hospital, which connects to the server and starts the pods of jobs."""
    registered = _sockets(f"[0-9A-F]+:{site.server_port:04X} 01 ")
    listening = _sockets(f":{cluster.parent_port:04X} [0-9A-F]+:0000 0A ")
    container = {
        **_container(site.name, cluster, cluster.site, command),
        "ports": [{"name": "jobs", "containerPort": cluster.parent_port, "protocol": "TCP"}],
        "startupProbe": {"exec": {"command": listening}, "periodSeconds": 5, "failureThreshold": 60},
        "livenessProbe": {"exec": {"command": list(listening)}, "periodSeconds": 30, "failureThreshold": 4},
        "readinessProbe": {"exec": {"command": registered}, "periodSeconds": 10, "failureThreshold": 3},
    }
    return _pod(site, cluster, container, account=site.name, token=True)


def server_pod(site: Site, cluster: Cluster) -> Document:
    """Return the pod of the server, in which its jobs are processes: they need its disk, and no GPU."""
    container = {
        **_container(
            site.name,
            cluster,
            cluster.site,
            ["/bin/bash", f"{WORKSPACE_MOUNT_PATH}/startup/sub_start.sh", "--once"],
        ),
        "ports": [{"name": "federation", "containerPort": site.server_port, "protocol": "TCP"}],
        "startupProbe": {"tcpSocket": {"port": "federation"}, "periodSeconds": 5, "failureThreshold": 60},
        "livenessProbe": {"tcpSocket": {"port": "federation"}, "periodSeconds": 30, "failureThreshold": 4},
        "readinessProbe": {"tcpSocket": {"port": "federation"}, "periodSeconds": 10, "failureThreshold": 3},
    }
    return _pod(site, cluster, container, account=site.name, token=False)


def job_pod(site: Site, cluster: Cluster) -> Document:
    """Return the pod of a hospital's jobs, without what FLARE adds: image, command, GPUs, credentials."""
    container = {
        "name": JOB,
        "imagePullPolicy": cluster.pull_policy,
        "securityContext": _closed_container(),
        "env": _environment(),
        "volumeMounts": [
            {"name": "lasting", "mountPath": f"{WORKSPACE_MOUNT_PATH}/{LASTING}"},
            {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108 - a volume of this pod alone
            {"name": "shared-memory", "mountPath": "/dev/shm"},  # noqa: S108
        ],
    }
    specification: Document = {
        **_specification(cluster, JOB, token=False),
        "terminationGracePeriodSeconds": 30,
        "containers": [container],
        "volumes": [
            {"name": "lasting", "persistentVolumeClaim": {"claimName": f"{site.name}-lasting"}},
            {"name": "scratch", "emptyDir": {"sizeLimit": cluster.job.scratch}},
            {
                "name": "shared-memory",
                "emptyDir": {"medium": "Memory", "sizeLimit": cluster.job.shared_memory},
            },
        ],
    }
    if cluster.storage.access == "ReadWriteOnce":
        # The job whose pod is started again finds its volume free only on the node where it was.
        selector = {
            "labelSelector": {"matchLabels": {APP: site.name}},
            "topologyKey": "kubernetes.io/hostname",
        }
        specification["affinity"] = {
            "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [selector]}
        }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {APP: JOB}}, "spec": specification}


def _pod(site: Site, cluster: Cluster, container: Document, *, account: str, token: bool) -> Document:
    return {
        "metadata": {"labels": {APP: site.name}},
        "spec": {
            **_specification(cluster, account, token=token),
            "terminationGracePeriodSeconds": 60,
            "containers": [container],
            "volumes": [
                {"name": "workspace", "persistentVolumeClaim": {"claimName": f"{site.name}-workspace"}},
                {"name": "startup", "secret": {"secretName": f"{site.name}-startup", "defaultMode": 0o440}},
                {"name": "local", "configMap": {"name": f"{site.name}-local", "defaultMode": 0o440}},
                {"name": "scratch", "emptyDir": {"sizeLimit": "2Gi"}},
            ],
        },
    }


def _container(name: str, cluster: Cluster, resources: Resources, command: list[str]) -> Document:
    return {
        "name": name,
        "image": cluster.image,
        "imagePullPolicy": cluster.pull_policy,
        "command": command,
        "env": _environment(),
        "resources": {
            "requests": {"cpu": resources.cpu, "memory": resources.memory},
            "limits": {"memory": resources.memory_limit},
        },
        "securityContext": _closed_container(),
        "volumeMounts": [
            {"name": "workspace", "mountPath": WORKSPACE_MOUNT_PATH},
            {"name": "startup", "mountPath": f"{WORKSPACE_MOUNT_PATH}/startup", "readOnly": True},
            {"name": "local", "mountPath": f"{WORKSPACE_MOUNT_PATH}/local", "readOnly": True},
            {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108 - a volume of this pod alone
        ],
    }


def _specification(cluster: Cluster, account: str, *, token: bool) -> Document:
    return {
        "serviceAccountName": account,
        "automountServiceAccountToken": token,
        "enableServiceLinks": False,
        # Otherwise Python is the first process of its container, which a SIGTERM does not end.
        "shareProcessNamespace": True,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": cluster.user,
            "runAsGroup": cluster.user,
            "fsGroup": cluster.user,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **(
            {"imagePullSecrets": [{"name": name} for name in cluster.image_pull_secrets]}
            if cluster.image_pull_secrets
            else {}
        ),
    }


def _closed_container() -> Document:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def _environment() -> list[Document]:
    """Where programs write that look for a home, as the root is read-only, and how memory is kept.

    The server's start script adds its own settings for memory.
    """
    homes = dict.fromkeys(("HOME", "TMPDIR", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR"), "/tmp")  # noqa: S108
    settings = {**homes, **memory_environment("client")}
    return [{"name": name, "value": value} for name, value in settings.items()]


def _sockets(pattern: str) -> list[str]:
    """Return a command that succeeds if the pod has such a TCP socket; it connects to nothing.

    A connection that says nothing would hold up FLARE's listener, and leave an error in the log each time.
    """
    return ["grep", "-qsE", pattern, "/proc/net/tcp", "/proc/net/tcp6"]
