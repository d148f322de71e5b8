"""A kit for Slurm, without paths of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from nvflare.fuel.utils.class_loader import get_class_name
from nvflare.tool.deploy.deploy_common import SLURM_PARENT_SH, SLURM_START_SH
from pydantic import Field, model_validator

from consilium.federation.site.slurm_jobs import SiteSlurmLauncher
from consilium.provisioning.start_scripts import UMASK_LINE
from consilium.settings import Settings

LAUNCHER = "slurm_launcher"

_WORKSPACE_ROOT = "WORKSPACE_ROOT="
_SUBMITTED_FROM = _WORKSPACE_ROOT + '"${SLURM_SUBMIT_DIR:?submit it with sbatch, in the kit}"'

_START = f"""#!/usr/bin/env bash
{UMASK_LINE}set -euo pipefail
# The kit may lie anywhere that the compute nodes see under the same path.
NVFL_WORKSPACE="$(cd "$(dirname "${{BASH_SOURCE[0]}}")/.." && pwd -P)"
export NVFL_WORKSPACE
exec "$NVFL_WORKSPACE/startup/sub_start.sh" --once
"""


class SlurmJobs(Settings):
    """Settings of job submission: the part `job_launcher` of `provision/runtime/slurm.yaml`."""

    sandbox: Literal["apptainer", "pyxis", "none"] = Field(
        description="Container runtime of the compute nodes; none for the site's own environment."
    )
    image: str | None = Field(
        default=None,
        min_length=1,
        description="Image file; relative to the kit, or with variables of the site's environment.",
    )
    python_path: str | None = Field(default=None, pattern=r"^/", description="Python that runs the jobs.")
    parent_host: str | None = Field(
        default=None, min_length=1, description="Where compute nodes reach the site; its host name if unset."
    )

    @model_validator(mode="after")
    def _container_has_an_image(self) -> SlurmJobs:
        if (self.sandbox == "none") == (self.image is not None):
            wanted = "has no image" if self.sandbox == "none" else "needs an image"
            raise ValueError(f"sandbox {self.sandbox!r} {wanted}")
        return self


def split_settings(launcher: dict[str, Any]) -> tuple[SlurmJobs, dict[str, Any]]:
    """Return our part of the launcher's settings, and the rest as FLARE takes it on any machine.

    Raises:
        ConfigurationError: If our part can't be used.
    """
    ours = {name: value for name, value in launcher.items() if name in SlurmJobs.model_fields}
    jobs: SlurmJobs = SlurmJobs.parse(ours, source="job_launcher")
    rest = {name: value for name, value in launcher.items() if name not in ours}
    return jobs, {**rest, "sandbox": "none", "python_path": "/usr/bin/python3"}


def make_movable(kit: Path, resources: dict[str, Any], jobs: SlurmJobs) -> None:
    """Replace FLARE's launcher and start script, which name paths of this machine, by ours."""
    (component,) = (one for one in resources["components"] if one["id"] == LAUNCHER)
    component["path"] = get_class_name(SiteSlurmLauncher)
    del component["args"]["workspace_path"]
    component["args"].update(jobs.model_dump(mode="json"))
    start = kit / "startup" / SLURM_START_SH
    start.write_text(_START)
    start.chmod(0o700)
    parent = kit / "startup" / SLURM_PARENT_SH
    if parent.exists():
        lines = [
            _SUBMITTED_FROM if line.startswith(_WORKSPACE_ROOT) else line
            for line in parent.read_text().splitlines()
        ]
        parent.write_text("\n".join(lines) + "\n")
