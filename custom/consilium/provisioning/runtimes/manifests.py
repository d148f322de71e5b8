"""Manifests around a site's pods: namespace, kit, volumes, rights, network, limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from consilium.provisioning.runtimes.cluster import Cluster
from consilium.provisioning.runtimes.pods import APP, JOB, Document, Site


def base(
    site: Site, cluster: Cluster, volumes: Mapping[str, int], files: Mapping[str, Mapping[str, str]]
) -> dict[str, list[Document]]:
    """Return the manifests of every site: namespace, files of its kit, and volumes."""
    return {
        "00-namespace": [_namespace(cluster)],
        "10-kit": [
            {
                **_head("v1", "Secret", f"{site.name}-startup", cluster),
                "type": "Opaque",
                "data": dict(files["startup"]),
            },
            {
                **_head("v1", "ConfigMap", f"{site.name}-local", cluster),
                "binaryData": dict(files["local"]),
            },
        ],
        "20-storage": [_claim(f"{site.name}-{name}", gib, cluster) for name, gib in volumes.items()],
    }


def account(name: str, cluster: Cluster) -> Document:
    """Return a service account that gets no token unless a pod asks for it."""
    return {**_head("v1", "ServiceAccount", name, cluster), "automountServiceAccountToken": False}


def launcher_access(site: Site, cluster: Cluster) -> list[Document]:
    """Return roles: the hospital's pod may start jobs, and jobs have no rights in the cluster."""
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "get", "delete"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "update", "patch", "delete"]},
    ]
    group = "rbac.authorization.k8s.io"
    name = f"{site.name}-launcher"
    return [
        account(site.name, cluster),
        account(JOB, cluster),
        {**_head(f"{group}/v1", "Role", name, cluster), "rules": rules},
        {
            **_head(f"{group}/v1", "RoleBinding", name, cluster),
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": site.name, "namespace": cluster.namespace}],
        },
    ]


def hospital_network(site: Site, cluster: Cluster) -> list[Document]:
    """Return allowed connections of a hospital's pods: the server, DNS and, for jobs, its pod."""
    server = {"to": _networks(cluster.server_addresses), "ports": _ports(site.server_port)}
    api = {"to": _networks(cluster.api_addresses), "ports": _ports(*cluster.api_ports)}
    jobs = _ports(cluster.parent_port)
    hospital = {"to": [{"podSelector": {"matchLabels": {APP: site.name}}}], "ports": jobs}
    return [
        _closed(cluster),
        _policy(
            site.name, {APP: site.name}, cluster,
            ingress=[{"from": [{"podSelector": {"matchLabels": {APP: JOB}}}], "ports": jobs}],
            egress=[server, api, _names()],
        ),
        _policy(
            JOB, {APP: JOB}, cluster, ingress=[],
            egress=[server, hospital, _names()],
        ),
    ]  # fmt: skip


def server_network(site: Site, cluster: Cluster) -> list[Document]:
    """Return allowed connections to the server, which opens none itself."""
    clients = {"from": _networks(cluster.client_addresses), "ports": _ports(site.server_port)}
    return [
        _closed(cluster),
        _policy(site.name, {APP: site.name}, cluster, ingress=[clients], egress=[_names()]),
    ]


def job_limits(cluster: Cluster) -> Document:
    """Return the resources of a job's pod; FLARE itself requests only GPUs and disk."""
    resources = cluster.job.resources
    return {
        **_head("v1", "LimitRange", JOB, cluster),
        "spec": {
            "limits": [
                {
                    "type": "Container",
                    "defaultRequest": {"cpu": resources.cpu, "memory": resources.memory},
                    "default": {"memory": resources.memory_limit},
                }
            ]
        },
    }


def deployment(site: Site, cluster: Cluster, pod: Document, *, checksum: str) -> Document:
    """Return the deployment of a site: one pod, which is replaced when the kit changes."""
    pod["metadata"]["annotations"] = {"consilium/kit": checksum}
    return {
        **_head("apps/v1", "Deployment", site.name, cluster),
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},  # two with one kit would evict each other at the server
            "selector": {"matchLabels": {APP: site.name}},
            "template": pod,
        },
    }


def service(site: Site, cluster: Cluster, ports: Mapping[str, int], kind: str) -> Document:
    """Return the name under which a site's pod is reached."""
    return {
        **_head("v1", "Service", site.name, cluster),
        "spec": {
            "type": kind,
            # Otherwise a node replaces the address of the client, which the network policy looks at.
            **({} if kind == "ClusterIP" else {"externalTrafficPolicy": "Local"}),
            "selector": {APP: site.name},
            "ports": [
                {"name": name, "port": port, "targetPort": name, "protocol": "TCP"}
                for name, port in ports.items()
            ],
        },
    }


def _namespace(cluster: Cluster) -> Document:
    """Return a namespace in which the cluster itself rejects privileged pods."""
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": cluster.namespace, "labels": levels},
    }


def _claim(name: str, gib: int, cluster: Cluster) -> Document:
    kind = cluster.storage.storage_class
    return {
        **_head("v1", "PersistentVolumeClaim", name, cluster),
        "spec": {
            "accessModes": [cluster.storage.access],
            **({"storageClassName": kind} if kind else {}),
            "resources": {"requests": {"storage": f"{gib}Gi"}},
        },
    }


def _closed(cluster: Cluster) -> Document:
    return _policy("closed", {}, cluster, ingress=[], egress=[])


def _policy(
    name: str, selects: Mapping[str, str], cluster: Cluster, *, ingress: list[Any], egress: list[Any]
) -> Document:
    return {
        **_head("networking.k8s.io/v1", "NetworkPolicy", name, cluster),
        "spec": {
            "podSelector": {"matchLabels": dict(selects)} if selects else {},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": egress,
        },
    }


def _names() -> Document:
    """Return the connections by which a pod looks names up."""
    system = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    return {"to": [system], "ports": [{"protocol": kind, "port": 53} for kind in ("UDP", "TCP")]}


def _networks(cidr: str) -> list[Document]:
    return [{"ipBlock": {"cidr": cidr}}]


def _ports(*ports: int) -> list[Document]:
    return [{"protocol": "TCP", "port": port} for port in ports]


def _head(version: str, kind: str, name: str, cluster: Cluster) -> Document:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": cluster.namespace,
            "labels": {"app.kubernetes.io/part-of": "consilium"},
        },
    }
