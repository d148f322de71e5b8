"""A simulated job in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from consilium.data.files import private_folder, private_opener
from consilium.errors import RefusalCode
from consilium.participant.site_settings import SiteSettings
from consilium.processes import stop_process_tree
from consilium.records.job_record import RECORD_FILES
from consilium.records.progress import PROGRESS_FILE, describe_progress, read_progress
from consilium.simulation.environment import SimulationError, failure_of, server_folder

_SECONDS_BETWEEN_LOOKS = 0.5
_LINE_LENGTH = 450


class SimulatedJob:
    """Runs a job in FLARE's simulator beside this process; leaving the context stops whatever still runs.

    The simulator forks, signals and changes folders as it likes, which is why it does not run in here. It
    gets a session of its own, so that Ctrl-C reaches only this process, which then stops all the others. If
    this process is killed, the job's process ends all others.

    Args:
        job: The job's folder.
        sites: Site name to what the hospital decides.
        workspace: The simulation's folder; FLARE's output goes to `flare.log` beside it.
    """

    def __init__(self, job: Path, sites: Mapping[str, SiteSettings], workspace: Path) -> None:
        self._request = json.dumps(
            {
                "job": str(job.resolve()),
                "workspace": str(workspace.resolve()),
                "sites": {name: site.model_dump(mode="json") for name, site in sites.items()},
            }
        )
        self.folder = server_folder(workspace)
        self.log = workspace.parent / "flare.log"
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Start the job."""
        for name in (PROGRESS_FILE, *RECORD_FILES):  # of the run before
            (self.folder / name).unlink(missing_ok=True)
        private_folder(self.log.parent, ours=False)
        with open(self.log, "w", opener=private_opener) as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "consilium.simulation.environment"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
                # FLARE and MONAI import some of their own deprecated parts; the warnings say nothing to the
                # user.
                env={**os.environ, "PYTHONWARNINGS": "ignore"},
            )
        assert self._process.stdin is not None  # it is a pipe
        self._process.stdin.write(self._request + "\n")
        self._process.stdin.flush()  # and stays open: when it is closed, that process ends
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the job with all of its processes, if it still runs."""
        if self._process is not None:
            if self._process.poll() is None:
                stop_process_tree(self._process.pid)
                self._process.wait()
            assert self._process.stdin is not None  # it is a pipe
            self._process.stdin.close()

    def watch(self, show: Callable[[str], None]) -> None:
        """Wait for the end of the job.

        Args:
            show: Called with a line about rounds and sites, repeatedly.

        Raises:
            SimulationError: If it failed.
        """
        while self.running():
            progress = read_progress(self.folder)
            show(describe_progress(progress) if progress else "starting FLARE")
            self.wait(_SECONDS_BETWEEN_LOOKS)

    def running(self) -> bool:
        """Return whether the job still runs.

        Raises:
            SimulationError: If it failed.
        """
        assert self._process is not None  # inside the context
        return_code = self._process.poll()
        if return_code:
            raise SimulationError(f"the simulated job failed; FLARE's log is {self.log}{self._log_tail()}")
        return return_code is None

    def wait(self, seconds: float) -> None:
        """Wait for the end of the job, but no longer than this."""
        assert self._process is not None  # inside the context
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return

    def _log_tail(self) -> str:
        """Return the reason in the record, or the last errors in the log of an aborted job."""
        failure = failure_of(self.folder)
        if failure is not None and failure.code is not RefusalCode.JOB_ABORTED:
            return f"\n  {failure}"
        lines = self.log.read_text(errors="replace").splitlines()
        errors = [line for line in lines if " ERROR " in line and "Traceback (most recent" not in line]
        return "".join(f"\n  {_shorten(line)}" for line in errors[-3:])


def _shorten(line: str) -> str:
    """Leave out the middle of a long line: FLARE quotes the configuration there and ends with the reason."""
    if len(line) <= _LINE_LENGTH:
        return line
    return f"{line[: _LINE_LENGTH // 3]} ... {line[-2 * _LINE_LENGTH // 3 :]}"
