"""Settings of a Kubernetes cluster: `provision/runtime/k8s.yaml`."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from consilium.settings import Settings

_NAME = r"^[a-z]([-a-z0-9]{0,40}[a-z0-9])?$"
_CPU = r"^[0-9]+m?$"
_BYTES = r"^[0-9]+(Mi|Gi)$"
_REGISTRY = re.compile(r"^(localhost|[^/]*[.:][^/]*)/")
_VERSION = re.compile(r"(@sha256:[0-9a-f]{64}|:[\w][\w.-]*)$")

_EVERYWHERE = "0.0.0.0/0"
_MOST_GIB = 1_000_000

_Port: TypeAlias = Annotated[int, Field(ge=1, le=65535)]


class Resources(Settings):
    """Resources of a container: requests, and a limit for memory."""

    cpu: str = Field(default="1", pattern=_CPU, description="Cores requested.")
    memory: str = Field(default="2Gi", pattern=_BYTES, description="Memory requested.")
    memory_limit: str = Field(default="4Gi", pattern=_BYTES, description="Memory after which it is ended.")


class Storage(Settings):
    """Volumes that outlive every pod."""

    storage_class: str | None = Field(default=None, description="Of the cluster; its default one if unset.")
    access: Literal["ReadWriteOnce", "ReadWriteMany"] = Field(
        default="ReadWriteMany",
        description="With ReadWriteOnce all pods of a site run on one node.",
    )
    workspace_gib: int = Field(
        default=20, ge=1, le=_MOST_GIB, description="Logs and, at the server, jobs and checkpoints."
    )
    cache_gib: int | None = Field(
        default=None,
        ge=1,
        le=_MOST_GIB,
        description="Cache and what a hospital remembers; `cache_gib` of the hospital and a tenth if unset.",
    )


class JobPods(Settings):
    """Pods in which a hospital's jobs run."""

    resources: Resources = Resources(cpu="4", memory="16Gi", memory_limit="32Gi")
    shared_memory: str = Field(default="8Gi", pattern=_BYTES, description="Of /dev/shm; counts as memory.")
    scratch: str = Field(default="10Gi", pattern=_BYTES, description="Disk of the node for one job.")
    pending_seconds: int = Field(
        default=600, ge=1, le=30 * 24 * 3600, description="How long a job may wait for a GPU."
    )


class Cluster(Settings):
    """Settings of a site's kit in Kubernetes."""

    namespace: str = Field(default="consilium", pattern=_NAME, description="Of this site alone.")
    image: str = Field(description="Of the site and its jobs: REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:...")
    image_is_local: bool = Field(default=False, description="The image is on every node; no registry.")
    image_pull_secrets: tuple[str, ...] = Field(default=(), description="Secrets with a registry's password.")
    python_path: str = Field(default="/usr/local/bin/python3", pattern=r"^/", description="In the image.")
    user: int = Field(default=10001, ge=1, lt=2**31, description="User and group id of all processes.")
    site: Resources = Resources()
    job: JobPods = JobPods()
    storage: Storage = Storage()
    parent_port: int = Field(default=8102, ge=1024, le=65535, description="Of a hospital, for its job pods.")
    server_addresses: str = Field(
        default=_EVERYWHERE, description="Where a hospital's pods may reach the server: its address as CIDR."
    )
    client_addresses: str = Field(default=_EVERYWHERE, description="Who may reach the server, as CIDR.")
    api_addresses: str = Field(default=_EVERYWHERE, description="Of the cluster's API server, as CIDR.")
    api_ports: tuple[_Port, ...] = Field(default=(443, 6443), description="Of the cluster's API server.")
    service: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(
        default="LoadBalancer", description="How the server's port is reached from outside."
    )

    @field_validator("server_addresses", "client_addresses", "api_addresses")
    @classmethod
    def _is_network(cls, value: str) -> str:
        try:
            return str(ip_network(value))
        except ValueError as error:
            raise ValueError(f"{error}; allowed: a network such as 192.0.2.7/32") from None

    @model_validator(mode="after")
    def _image_can_be_found(self) -> Cluster:
        if not _VERSION.search(self.image) or self.image.endswith(":latest"):
            raise ValueError(
                f"image {self.image!r} has no version: add a tag other than latest, or @sha256:..."
            )
        if not self.image_is_local and not _REGISTRY.match(self.image):
            raise ValueError(
                f"image {self.image!r} names no registry, so no node can pull it: write "
                f"registry.hospital.example/{self.image}, or image_is_local: true if every node has it"
            )
        return self

    @property
    def pull_policy(self) -> str:
        """When a node pulls the image: never what it has, as versions never change."""
        return "Never" if self.image_is_local else "IfNotPresent"
