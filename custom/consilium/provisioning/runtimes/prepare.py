"""Preparation of a kit for Docker, Kubernetes or Slurm."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import yaml
from nvflare.apis.fl_constant import WorkspaceConstants
from nvflare.tool.deploy import deploy_common, docker_deploy, k8s_deploy, slurm_deploy

from consilium.data.files import close_tree, private_folder
from consilium.errors import ConfigurationError
from consilium.provisioning.kit import Kit, PreparedRuntime
from consilium.provisioning.policy import write_json
from consilium.provisioning.runtimes import kubernetes, slurm
from consilium.provisioning.runtimes.cluster import Cluster

_BACKENDS: dict[PreparedRuntime, Any] = {"docker": docker_deploy, "k8s": k8s_deploy, "slurm": slurm_deploy}


def prepare_kit(source: Path, configuration: Path, output: Path) -> PreparedRuntime:
    """Write a copy of a kit whose jobs a container system or Slurm runs.

    The copy names no path of this machine: the project admin can prepare it for a hospital.

    Args:
        source: The kit as provisioned, with `local/study_runtime.yaml` if jobs of studies run there.
        configuration: `provision/runtime/*.yaml`, edited.
        output: Folder to write, which must not exist.

    Returns:
        The runtime.

    Raises:
        ConfigurationError: If the kit or the configuration can't be used; nothing is written then.
    """
    kit = Kit(source)
    values = _read(configuration)
    runtime = _runtime_of(values, configuration)
    if output.exists():
        raise ConfigurationError(f"{output} exists; name a new folder with --output, or remove it first")
    if kit.runtime != "process":
        raise ConfigurationError(
            f"{source} is prepared for {kit.runtime} already; name the kit as provisioned"
        )
    if output.resolve().is_relative_to(source.resolve()):
        raise ConfigurationError(f"{output} is inside the kit {source}; name a folder outside with --output")
    private_folder(output.parent, ours=False)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as folder:
        made = Path(shutil.copytree(source, Path(folder) / output.name))
        own = made / "local" / WorkspaceConstants.RESOURCES_CONFIG
        if own.exists():  # the hospital's own comes before the default, and FLARE would drop it
            own.replace(made / "local" / WorkspaceConstants.DEFAULT_RESOURCES_CONFIG)
        _PREPARATIONS[runtime](kit, made, values)
        private_folder(made)
        close_tree(made)
        made.rename(output)
    return runtime


def _runtime_of(values: dict[str, Any], configuration: Path) -> PreparedRuntime:
    for runtime in _PREPARATIONS:
        if values.get("runtime") == runtime:
            return runtime
    raise ConfigurationError(
        f"{configuration}: runtime is {values.get('runtime')!r}; allowed: {', '.join(_PREPARATIONS)}"
    )


def _prepare_docker(kit: Kit, made: Path, values: dict[str, Any]) -> None:
    _prepare_by_flare("docker", made, values)


def _prepare_slurm(kit: Kit, made: Path, values: dict[str, Any]) -> None:
    if kit.kind == "server":
        raise ConfigurationError(
            "the server is prepared for no Slurm: it waits for the hospitals, and a batch job has an end. "
            "Start its kit as it is, on a machine that stays"
        )
    launcher = values.get("job_launcher")
    if not isinstance(launcher, dict):
        raise ConfigurationError(
            "the configuration has no settings under job_launcher; see provision/runtime"
        )
    jobs, rest = slurm.split_settings(launcher)
    _prepare_by_flare("slurm", made, {**values, "job_launcher": rest})
    resources = _resources(made)
    slurm.make_movable(made, resources, jobs)
    _write_resources(made, resources)


def _prepare_kubernetes(kit: Kit, made: Path, values: dict[str, Any]) -> None:
    site: Cluster = Cluster.parse(
        {name: value for name, value in values.items() if name != "runtime"}, source="the configuration"
    )
    if kit.kind == "client":
        _prepare_by_flare("k8s", made, kubernetes.flare_configuration(site))
        resources = _resources(made)
        kubernetes.harden(made, resources, site)
        _write_resources(made, resources)
    kubernetes.write_manifests(kit, made, site)


_PREPARATIONS: dict[PreparedRuntime, Callable[[Kit, Path, dict[str, Any]], None]] = {
    "docker": _prepare_docker,
    "k8s": _prepare_kubernetes,
    "slurm": _prepare_slurm,
}


def _prepare_by_flare(runtime: PreparedRuntime, made: Path, values: dict[str, Any]) -> None:
    """Have FLARE prepare a kit in place; it prints its steps and exits on an error."""
    backend, said = _BACKENDS[runtime], io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            backend.validate_config(values)
            # Where the kit will lie is not known; what FLARE writes of it is replaced.
            backend.prepare(deploy_common.validate_kit(made), Path("/nowhere"), values)
    except SystemExit:
        raise ConfigurationError(
            f"FLARE can't prepare this kit for {runtime}:\n{said.getvalue().strip()}"
        ) from None


def _read(configuration: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(configuration.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{configuration} can't be read: {error}") from None
    if not isinstance(values, dict):
        raise ConfigurationError(
            f"{configuration} holds no settings; begin with a copy of provision/runtime/"
        )
    return values


def _resources(made: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        (made / "local" / WorkspaceConstants.DEFAULT_RESOURCES_CONFIG).read_text()
    )
    return content


def _write_resources(made: Path, resources: dict[str, Any]) -> None:
    write_json(made / "local" / WorkspaceConstants.DEFAULT_RESOURCES_CONFIG, resources)
