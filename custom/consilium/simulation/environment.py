"""FLARE's simulator with each site's own `local/` files."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import WorkspaceConstants
from nvflare.job_config.api import FedJob
from nvflare.private.fed.app.simulator.simulator_runner import SimulatorRunner
from nvflare.private.fed.simulator.simulator_const import SimulatorConstants
from nvflare.recipe.sim_env import SimEnv

from consilium.data.files import private_folder
from consilium.errors import ConfigurationError, ConsiliumError, RefusalCode
from consilium.federation.replacement import require_known
from consilium.learning.socket_folder import socket_folder
from consilium.participant.site_settings import SiteSettings
from consilium.processes import end_with_parent, keep_new_files_private
from consilium.provisioning.policy import write_class_policy, write_site_policy
from consilium.records.federation import FederationRecord
from consilium.records.job_record import load_record
from consilium.records.progress import EndReason
from consilium.records.readiness import ReadinessRecord
from consilium.secagg.local_federation import exchange_identities
from consilium.simulation.hospitals import without_spaces


class SimulationError(ConsiliumError):
    """The simulated job did not run to its end."""


class HospitalSimEnv(SimEnv):  # type: ignore[misc]
    """FLARE's `SimEnv` for named hospitals, each with its own settings.

    Example:
        A notebook runs any recipe on folders of cases::

            sites = {name: SiteSettings(dataset=Path("/data") / name) for name in ("north", "south")}
            recipe.execute(HospitalSimEnv(sites, workspace_root="runs/first"))

    Args:
        sites: Site name to what the hospital decides.
        workspace_root: Folder in which the job gets a workspace of its own.
    """

    def __init__(self, sites: Mapping[str, SiteSettings], workspace_root: str | Path) -> None:
        super().__init__(clients=list(sites), workspace_root=str(Path(workspace_root).resolve()))
        self.sites = dict(sites)

    def deploy(self, job: FedJob) -> str:
        """Run a job to its end; returns its id.

        Raises:
            SimulationError: If it fails.
        """
        with tempfile.TemporaryDirectory() as folder:
            job.export_job(folder)
            run_in_simulator(Path(folder) / job.name, self.sites, Path(self.workspace_root) / job.name)
        return str(job.name)


def run_in_simulator(job: Path, sites: Mapping[str, SiteSettings], workspace: Path) -> None:
    """Run an exported job in FLARE's simulator, one process for each site.

    The policy is the real one: the class allow-list is in force, so a job that names another class is
    refused, and a job can bring no code, because the allow-list would have to name it.

    Args:
        job: The job's folder.
        sites: Site name to what the hospital decides.
        workspace: Readable by this account only; what was in it is removed, but for its `local/` and
            `startup/`, also what the sites remembered of their patients, unless their `state_dir` is
            elsewhere.

    Raises:
        SimulationError: If the job fails.
        ConfigurationError: If there is no place for sockets; see `socket_folder`.
    """
    private_folder(workspace)  # whatever FLARE writes below it
    write_class_policy(workspace / WorkspaceConstants.SITE_FOLDER_NAME)
    socket_folder()  # chosen now: FLARE's simulator listens on a socket below TMPDIR, however long that is
    with without_spaces(workspace) as folder:
        runner = _HospitalSimulatorRunner(job, with_split_salts(sites, seed_of(job)), folder)
        return_code = runner.run()
    # The simulator returns 0 as well when sites could not start and the server's controller was aborted.
    failure = f"return code {return_code}" if return_code else failure_of(server_folder(workspace))
    if failure is not None:
        raise SimulationError(
            f"the simulated job failed: {failure}; the server's log is {workspace / 'server' / 'log.txt'}"
        )


def with_split_salts(sites: Mapping[str, SiteSettings], seed: int) -> dict[str, SiteSettings]:
    """Return the settings of simulated sites with the seed as their salt, so that a simulation repeats.

    Args:
        sites: Site name to what the hospital decides; one that has a salt keeps it.
        seed: The study's.
    """
    return {
        name: site if site.split_salt else site.model_copy(update={"split_salt": str(seed)})
        for name, site in sites.items()
    }


def seed_of(job: Path) -> int:
    """Return the seed of an exported job, 0 for one without: an evaluation has that of its models."""
    # Not with this module: it loads what reads images, which commands that only watch a job do without.
    from consilium.recipes.exported_job import job_kind, read_exported_evaluation, read_exported_job

    kind = job_kind(job)
    if kind == "evaluation":
        return read_exported_evaluation(job).learning.seed
    return read_exported_job(job).learning.seed if kind == "training" else 0


def failure_of(folder: Path) -> EndReason | None:
    """Return why the job of a run folder failed, by its record; None if it did not, or kept no record."""
    try:
        record = load_record(folder)
    except ConfigurationError:
        return None
    if isinstance(record, ReadinessRecord) or record.status == "finished":
        return None
    code = record.code if isinstance(record, FederationRecord) else None
    code = code or (RefusalCode.JOB_FAILED if record.reason else RefusalCode.JOB_ABORTED)
    return EndReason(text=record.reason or "aborted without a reason", code=code)


def server_folder(workspace: Path) -> Path:
    """Return the folder in which a simulated server keeps the job's results."""
    return workspace / "server" / str(SimulatorConstants.JOB_NAME)


class _HospitalSimulatorRunner(SimulatorRunner):  # type: ignore[misc]
    """FLARE's runner copies one `local/` to every site; here each site gets its own privacy policy on top."""

    def __init__(self, job: Path, sites: Mapping[str, SiteSettings], workspace: Path) -> None:
        require_known(SimulatorRunner)
        super().__init__(
            job_folder=str(job.resolve()),
            workspace=str(workspace.absolute()),
            clients=",".join(sites),
            threads=len(sites),
        )
        self._sites = dict(sites)

    def setup(self) -> bool:
        """Set the workspace up; sites of a secure aggregation know each other's identities."""
        done = bool(super().setup())
        if done:
            root = Path(self.args.workspace)
            exchange_identities(
                {name: root / name / WorkspaceConstants.SITE_FOLDER_NAME for name in self._sites}
            )
        return done

    def _setup_local_startup(self, log_config_file_path: str, workspace: str) -> None:
        super()._setup_local_startup(log_config_file_path, workspace)
        site = self._sites.get(Path(workspace).name)
        if site is not None:
            write_site_policy(Path(workspace) / WorkspaceConstants.SITE_FOLDER_NAME, site)


def main() -> None:
    """Run the simulation that a line of standard input describes: the process that `SimulatedJob` starts."""
    keep_new_files_private()
    request: dict[str, Any] = json.loads(sys.stdin.readline())
    end_with_parent(sys.stdin)
    sites = {name: SiteSettings.model_validate(values) for name, values in request["sites"].items()}
    run_in_simulator(Path(request["job"]), sites, Path(request["workspace"]))


if __name__ == "__main__":
    main()
