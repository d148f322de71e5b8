"""Slurm launcher for a hospital's jobs, independent of the kit's location."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, JobConstants
from nvflare.apis.fl_context import FLContext
from nvflare.apis.fl_exception import UnsafeComponentError
from nvflare.apis.job_launcher_spec import JobHandleSpec
from nvflare.app_opt.job_launcher.slurm.config import SlurmConfig, SlurmLauncherError
from nvflare.app_opt.job_launcher.slurm.launcher import ClientSlurmJobLauncher, SlurmJobLauncher
from nvflare.app_opt.job_launcher.slurm.manager import SlurmJobManager, _job_key, _job_name
from nvflare.app_opt.job_launcher.slurm.scheduler_client import _SlurmCliAdapter

from consilium.federation.replacement import require_known

PYTHON_OF_IMAGE: Final = "/usr/local/bin/python3"

_SECONDS_TO_END: Final = 120.0
"""Slurm's `KillWait` is 30 s by default."""

_UNKNOWN_YET: Final = "/nowhere"
"""FLARE wants absolute paths when the component is built, which is before the workspace is known."""


class SiteSlurmLauncher(ClientSlurmJobLauncher):  # type: ignore[misc]
    """Submit every job of the site with `sbatch`, wherever the kit is.

    FLARE's own launcher has the kit's absolute path, that of the image and the address of the machine in its
    arguments, and FLARE wants the image on the machine that prepares the kit. The project admin can't know
    any of the three for a hospital. Here they are found when the site starts.

    A job that Slurm ends, because it was preempted, its node failed or its time was over, is submitted again
    by the server's `SiteReturn`, and resumes after the last round that the site trained. So is one that Slurm
    still runs although the site's own process has died since: FLARE rejects such a job when it is started
    again, and no process manages the running one. It is cancelled first.

    Args:
        sandbox: `apptainer` or `pyxis` for a container, `none` for the environment that the site runs in.
        image: The image file of a container. A relative path starts at the kit; `~` and variables of the
            site's environment, such as `$CONSILIUM_IMAGE`, are filled in.
        python_path: Python that runs the jobs; by default the image's, or the one that the site runs with.
        executables: Absolute paths of Slurm's commands; those that are left out are looked up.
        parent_host: Where compute nodes reach this machine; by default its host name.
        settings: The other arguments of FLARE's launcher.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
        SlurmLauncherError: If an argument can't be used.
    """

    def __init__(
        self,
        sandbox: str,
        image: str | None = None,
        python_path: str | None = None,
        executables: dict[str, str | None] | None = None,
        parent_host: str | None = None,
        **settings: Any,
    ) -> None:
        require_known(SlurmJobLauncher, SlurmJobManager, _SlurmCliAdapter, _job_key, _job_name)
        in_container = sandbox != "none"
        self._image = image
        super().__init__(
            workspace_path=_UNKNOWN_YET,
            sandbox=sandbox,
            image=_UNKNOWN_YET if in_container and image else None,
            python_path=python_path or (PYTHON_OF_IMAGE if in_container else sys.executable),
            executables=executables or {},
            parent_host=parent_host or _own_name(),
            **settings,
        )

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Find the workspace and the image before the launcher looks at either.

        Raises:
            UnsafeComponentError: If the image is not there; the site does not start then.
        """
        if event_type == EventType.SYSTEM_BOOTSTRAP and self.manager is not None:
            workspace = Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_root_dir()).resolve()
            found: SlurmConfig = replace(
                self.manager.config, workspace_path=str(workspace), image=_find_image(self._image, workspace)
            )
            self.config = self.manager.config = found
        super().handle_event(event_type, fl_ctx)
        if event_type == EventType.SYSTEM_BOOTSTRAP and self.manager is not None:
            self._remove_orphans(str(fl_ctx.get_identity_name()))

    def launch_job(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> JobHandleSpec:
        """Submit a job, after removing remnants of an earlier process of this site.

        Raises:
            SlurmLauncherError: If the job can't be submitted, or what was left of it does not end.
        """
        if self.manager is not None:
            job_id = str(job_meta.get(JobConstants.JOB_ID))
            if job_id not in self.manager._handles:
                folder = Path(self.manager.jobs_dir) / _job_key(job_id)
                self._remove_orphan(folder, str(fl_ctx.get_identity_name()))
        return super().launch_job(job_meta, fl_ctx)

    def _remove_orphans(self, site: str) -> None:
        """Cancel jobs that an earlier process of this site has left in Slurm."""
        for folder in Path(self.manager.jobs_dir).iterdir():
            try:
                self._remove_orphan(folder, site)
            except SlurmLauncherError as error:  # tried again when the job is started
                self.logger.warning("%s", error)

    def _remove_orphan(self, folder: Path, site: str) -> None:
        """End Slurm's job of a folder of FLARE's launcher, wait until it is gone, and remove the folder."""
        if not folder.is_dir():
            return
        deadline = time.monotonic() + _SECONDS_TO_END
        while orphans := self._queued(_job_name(site, folder.name)):
            if time.monotonic() > deadline:
                raise SlurmLauncherError(
                    f"Slurm's job {', '.join(orphans)} of an earlier process of this site does not end; "
                    "end it with scancel, then the job is started again"
                )
            self.logger.warning("ending Slurm's job %s of an earlier process of this site", orphans[0])
            for orphan in orphans:
                self.manager.adapter.cancel(orphan, timeout=self.config.cancel_timeout)
            time.sleep(self.config.poll_interval)
        shutil.rmtree(folder)

    def _queued(self, job_name: str) -> list[str]:
        """Return the ids of this account's jobs that this site submitted for one job and that are not over.

        The account may run other sites, with the same job of the federation under another name.
        """
        squeue = str(self.manager.config.executables["squeue"])
        answer = self.manager.adapter._run(
            [squeue, "-h", f"--user={os.getuid()}", "--format=%i|%k|%j"], self.config.query_timeout
        )
        if not answer.available:
            raise SlurmLauncherError(
                "squeue does not answer, so it is not known whether the job runs already"
            )
        rows = [line.strip().split("|", 2) for line in answer.stdout.splitlines() if line.count("|") >= 2]
        return [
            number for number, marker, name in rows
            if name == job_name and marker.startswith("nvfl:")
        ]  # fmt: skip


def _own_name() -> str | None:
    """Return where compute nodes reach this machine; None in an allocation, where FLARE knows it."""
    return None if "SLURM_JOB_ID" in os.environ else socket.gethostname()


def _find_image(image: str | None, workspace: Path) -> str | None:
    if image is None:
        return None
    path = workspace / os.path.expandvars(Path(image).expanduser())
    if not path.is_file():
        raise UnsafeComponentError(
            f"the image {image!r} of slurm_launcher in local/resources.json is {path}, and there is no such "
            "file; put it there, or set the path (relative to the kit, or with a variable of the environment)"
        )
    return str(path.resolve())
