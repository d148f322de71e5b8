"""Environment of nnU-Net: a virtual environment of its own, and commands run in it."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from consilium.data.files import write_atomically
from consilium.errors import ConfigurationError
from consilium.learning.compute_settings import ComputeSettings
from consilium.process_limits import available_cores

NNUNET_VERSION: Final = "2.8.1"
MARK: Final = "@@ "
"""Starts the lines of `worker.py` that are shown."""

_WORKER: Final = Path(__file__).with_name("worker.py")
_READY: Final = "ready.json"

Say = Callable[[str], None]


def requirements() -> tuple[str, ...]:
    """Return what the environment holds; torch and MONAI are those that Consilium runs with.

    The same torch makes seconds comparable, and a build without CUDA that is installed here is found before
    nnU-Net would ask for another.
    """
    same = [f"{name}=={version(name).partition('+')[0]}" for name in ("torch", "monai")]
    return (*same, f"nnunetv2=={NNUNET_VERSION}")


class Environment:
    """A folder with nnU-Net installed; what is installed already is left alone.

    Args:
        folder: Where it is, or will be.
        work: Holds `raw`, `preprocessed` and `results`, as nnU-Net names its folders.
        compute: Threads of each process, and processes that augment; 0 for the training process itself.
        say: Shows a line of progress.
    """

    def __init__(self, folder: Path, work: Path, compute: ComputeSettings, say: Say) -> None:
        self._folder = folder.absolute()
        self._work = work.absolute()
        self._say = say
        self._compute = compute

    def install(self) -> None:
        """Make the environment where it is missing.

        Raises:
            ConfigurationError: If a package can't be installed, with the place of pip's output.
        """
        wanted = list(requirements())
        ready = self._folder / _READY
        if ready.is_file() and json.loads(ready.read_text()) == wanted:
            return
        self._say(f"installing {', '.join(wanted)} into {self._folder}; this takes minutes")
        if not self._program("python").exists():
            venv.create(self._folder, with_pip=True)
        log = self._folder / "pip.log"
        pip = [str(self._program("python")), "-m", "pip", "install", "--quiet", "--log", str(log)]
        for packages in (wanted[:1], wanted):  # torch first, so that nothing else chooses it
            done = subprocess.run([*pip, *packages], check=False, capture_output=True)
            if done.returncode:
                raise ConfigurationError(
                    f"pip could not install {', '.join(packages)} into {self._folder}; see {log}, or give "
                    "a folder with these packages in an environment by --environment"
                )
        write_atomically(ready, json.dumps(wanted).encode())

    def command(self, name: str, *arguments: str) -> float:
        """Run one of nnU-Net's commands, its output into a log; returns its CPU seconds.

        Raises:
            ConfigurationError: If it fails.
        """
        # Its planner sets its threads to the number of processes that augment, which may not be 0 then.
        return self._run([str(self._program(name)), *arguments], self._work / f"{name}.log", loaders="1")

    def work(self, what: str, order: Mapping[str, Any], title: str) -> None:
        """Have the worker train or predict.

        Args:
            what: `train` or `predict`.
            order: See `worker.py`.
            title: Before each line of progress.

        Raises:
            ConfigurationError: If it fails.
        """
        folder = Path(order["folder"])
        path = folder / f"{what}.json"
        write_atomically(path, json.dumps(order).encode())
        command = [str(self._program("python")), str(_WORKER), what, str(path)]
        self._run(command, folder / f"{what}.log", title=title, loaders=str(self._compute.loader_workers))

    def _program(self, name: str) -> Path:
        return self._folder / ("Scripts" if sys.platform == "win32" else "bin") / name

    def _run(self, command: Sequence[str], log: Path, *, title: str = "", loaders: str) -> float:
        before, threads = _seconds_of_children(), str(self._compute.cpu_threads or available_cores())
        folders = {f"nnUNet_{name}": str(self._work / name) for name in ("raw", "preprocessed", "results")}
        limits = {
            "nnUNet_n_proc_DA": loaders,
            "nnUNet_def_n_proc": "1",
            "OMP_NUM_THREADS": threads,
        }
        own = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        with (
            log.open("a") as file,
            subprocess.Popen(
                command,
                env={**own, **folders, **limits, "PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as process,
        ):
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    file.write(line)
                    if line.startswith(MARK):
                        self._say(f"{title}: {line.removeprefix(MARK).strip()}")
            except BaseException:  # Ctrl-C, too: it goes on from its checkpoint the next time
                process.terminate()
                raise
        if process.returncode:
            raise ConfigurationError(
                f"nnU-Net failed with exit code {process.returncode}; its output is in {log}, and may name "
                "files of the work folder"
            )
        return _seconds_of_children() - before


def _seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
