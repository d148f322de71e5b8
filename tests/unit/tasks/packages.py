"""Packages that bring tasks: a module and its dist-info folder on the path, as an installer leaves them."""

import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consilium.tasks import registry

TOYS = Path(__file__).parents[2] / "toys"

LIKE_BRAIN_TUMOR = """
from typing import Literal

from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings
from consilium.tasks.brain_tumor.task import BrainTumor

class ToySettings(BrainTumorSettings):
    task: Literal["{name}"] = "{name}"

class Toy(BrainTumor):
    name = "{name}"
    settings_type = ToySettings
"""


@contextmanager
def installed(folder: Path, *packages: tuple[str, str, str]) -> Iterator[None]:
    """Have packages, each of a name, a task's name and the source of its module."""
    modules = [name.replace("-", "_") for name, _, _ in packages]
    for (name, task, source), module in zip(packages, modules, strict=True):
        (folder / f"{module}.py").write_text(textwrap.dedent(source))
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[consilium.tasks]\n{task} = {module}:Toy\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        _forget(modules)
        try:
            yield
        finally:
            _forget(modules)
    _forget(())


@contextmanager
def brought(name: str) -> Iterator[None]:
    """Have a package of `tests/toys` on the path, as if it were installed."""
    folder = TOYS / name
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        _forget(())
        try:
            yield
        finally:
            _forget(())


def _forget(modules: list[str] | tuple[str, ...]) -> None:
    registry._entry_points.cache_clear()
    registry._load.cache_clear()
    for module in modules:
        sys.modules.pop(module, None)


def toy(name: str = "toy_tumor") -> tuple[str, str, str]:
    """A package whose task is brain tumor segmentation under another name."""
    return ("toy-package", name, LIKE_BRAIN_TUMOR.format(name=name))


def is_imported() -> bool:
    """Whether anything of the toy package was imported."""
    return "toy_package" in sys.modules
