"""The chest CT task of another package, its hospitals and its jobs, by commands alone."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .studies import ENVIRONMENT, Study, run, simulate

PACKAGE = Path(__file__).parents[1] / "toys/chest_ct"
PROGRAM = str(Path(sys.executable).with_name("consilium"))
QUICK = ("learning.local_steps=2", "learning.spacing_mm=6", "learning.patch_voxels=32", "rounds=1")


@contextmanager
def package_on_path() -> Iterator[None]:
    """Let every command within a block find the package."""
    path = os.pathsep.join(filter(None, [str(PACKAGE), os.environ.get("PYTHONPATH")]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENVIRONMENT, "PYTHONPATH", path)
        yield


def command(*words: object) -> tuple[str, str]:
    """Run a command that succeeds; returns what it printed and reported."""
    code, out, errors = run([PROGRAM, *map(str, words)])
    assert code == 0, errors
    return out, errors


def export(kind: str, folder: Path, *settings: str, options: tuple[object, ...] = ()) -> str:
    """Write one of the task's jobs into a folder; returns what the command reported."""
    changes = [word for setting in settings for word in ("--set", setting)]
    return command("jobs", "export", f"chest_ct_{kind}", "--to", folder, *options, *changes)[1]


def make_hospitals(folder: Path) -> dict[str, Path]:
    """Make the task's synthetic hospitals."""
    made, _ = command("cohort", folder, "--task", "chest_ct")
    return {name: Path(home) for name, home in (line.split("\t") for line in made.splitlines())}


def train(sites: dict[str, Path], folder: Path) -> Study:
    """Train for one round."""
    export("fedavg", folder, *QUICK)
    study = simulate(folder / "chest_ct_fedavg", sites, folder / "out")
    assert study.code == 0, study.stderr
    return study
