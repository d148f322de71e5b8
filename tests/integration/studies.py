"""Start studies as a person would, in processes of their own, and leave none of those behind."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consilium.processes import stop_process_tree
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job
from waiting import DEADLINE_SECONDS

JOB = "brain_tumor_fedavg"
SMALL = {
    "rounds": 2,
    "learning.local_steps": 2,
    "learning.patch_voxels": [32, 32, 32],
    "learning.spacing_mm": 4.0,
}
"""Settings under which a study is over as soon as FLARE has started."""

ANY_NUMBER = {"min_count": 1, "min_training_patients": 1}
"""What a hospital decides that takes part with however few patients."""

ENVIRONMENT = {**os.environ, "COLUMNS": "1000", "NO_COLOR": "1"}


@dataclass(frozen=True)
class Study:
    """What a study left behind.

    Args:
        out: Its folder.
        code: The exit code of the command.
        stdout: What the command printed.
        stderr: What it reported on the way.
    """

    out: Path
    code: int
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        return read_json(self.out / "report/report.json")

    @property
    def federation(self) -> dict[str, Any]:
        return read_json(self.out / "result/federation.json")

    @property
    def server(self) -> Path:
        """What a server of its own machine would have on its disk."""
        return self.out / "simulation/server"

    def log_of(self, site: str) -> str:
        return (self.out / "simulation" / site / "log.txt").read_text()


def export(folder: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """Write a small job's folder."""
    return export_job(build_recipe(JOB, {**SMALL, **(changes or {})}), folder)


def command(job: Path, sites: Mapping[str, Path], out: Path, *options: str) -> list[str]:
    """Return the command line that simulates a job at hospitals of very few patients, which allow it."""
    named = [word for name, folder in sites.items() for word in ("--site", f"{name}={folder}")]
    program = Path(sys.executable).with_name("consilium")
    return [str(program), "simulate", str(job), *named, "--out", str(out), "--min-patients", "1", *options]


def simulate(job: Path, sites: Mapping[str, Path], out: Path, *options: str) -> Study:
    """Simulate a job to its end."""
    code, stdout, stderr = run(command(job, sites, out, *options))
    return Study(out, code, stdout, stderr)


def run(words: Sequence[str]) -> tuple[int, str, str]:
    """Run a command to its end; returns exit code, standard output and standard error."""
    with subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=DEADLINE_SECONDS)
        finally:
            stop_process_tree(process.pid)
    return process.returncode, stdout, stderr


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def edit_json(path: Path, edit: Callable[[Any], None]) -> None:
    content = read_json(path)
    edit(content)
    path.write_text(json.dumps(content))


def read_if_there(path: Path) -> str:
    with suppress(FileNotFoundError):
        return path.read_text()
    return ""
