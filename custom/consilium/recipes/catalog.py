"""The jobs in `jobs/`: every folder there is written from here, and a test keeps the two in step."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from consilium.data.files import private_folder
from consilium.errors import ConfigurationError
from consilium.recipes.base import JobRecipe
from consilium.recipes.fedavg import FedAvgRecipe
from consilium.recipes.readiness import ReadinessRecipe
from consilium.recipes.statistics import StatisticsRecipe


@dataclass(frozen=True)
class CatalogEntry:
    """A job of the catalog.

    Attributes:
        recipe: What builds it.
        settings: Those that differ from the recipe's defaults.
    """

    recipe: type[JobRecipe]
    settings: Mapping[str, Any]


CATALOG: Mapping[str, CatalogEntry] = {
    "brain_tumor_fedavg": CatalogEntry(
        FedAvgRecipe, {"rounds": 6, "min_sites": 2, "learning": {"task": "brain_tumor"}}
    ),
    "brain_tumor_fedavg_gpu": CatalogEntry(
        FedAvgRecipe,
        {
            "rounds": 100,
            "min_sites": 2,
            "gpus_per_site": 1,
            "task_request_seconds": 15.0,
            "learning": {
                "task": "brain_tumor",
                "network": "segresnet",
                "spacing_mm": 1.0,
                "patch_voxels": [128, 128, 128],
                "batch_size": 2,
                "local_steps": None,
                "local_epochs": 2,
                "learning_rate": 2e-4,
                "window_overlap": 0.5,
            },
        },
    ),
    "brain_tumor_check": CatalogEntry(ReadinessRecipe, {"min_sites": 2, "learning": {"task": "brain_tumor"}}),
    "brain_tumor_stats": CatalogEntry(StatisticsRecipe, {"min_sites": 2}),
}
"""The jobs by name."""


def build_recipe(name: str, changes: Mapping[str, Any] | None = None) -> JobRecipe:
    """Build a job of the catalog, with some settings changed.

    Example:
        >>> build_recipe("brain_tumor_fedavg", {"rounds": 3, "learning.batch_size": 4}).settings.rounds
        3

    Args:
        name: The job's name in the catalog.
        changes: Dotted setting names to values, for example `{"learning.local_steps": 5}`.

    Raises:
        ConfigurationError: If no job has that name, or a setting can't be used.
    """
    if name not in CATALOG:
        raise ConfigurationError(
            f"no job is named {name!r}; known: {', '.join(CATALOG)}; see `consilium jobs list`"
        )
    entry = CATALOG[name]
    values: dict[str, Any] = {"name": name, **deepcopy(dict(entry.settings))}
    for key, value in (changes or {}).items():
        group, _, setting = key.rpartition(".")
        target = values if not group else values.setdefault(group, {})
        if not isinstance(target, dict):
            raise ConfigurationError(f"setting {key!r}: {group!r} is not a group of settings")
        target[setting] = value
    return entry.recipe.from_values(values, source=f"job {name!r}")


def parse_changes(assignments: list[str]) -> dict[str, Any]:
    """Read `KEY=VALUE` texts, the values as YAML: `3`, `0.1`, `null`, `[64, 64, 64]`, `segresnet`.

    Example:
        >>> parse_changes(["rounds=3", "learning.network=segresnet"])
        {'rounds': 3, 'learning.network': 'segresnet'}

    Raises:
        ConfigurationError: If a text is not of that form.
    """
    changes = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        try:
            changes[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            equals = ""
        if not equals or not key:
            raise ConfigurationError(
                f"{assignment!r} is not of the form KEY=VALUE, for example learning.local_steps=5"
            )
    return changes


def export_job(recipe: JobRecipe, folder: Path) -> Path:
    """Write a job's folder below `folder`, in place of one of the same name; returns it.

    Example:
        >>> export_job(build_recipe("brain_tumor_stats"), Path("my_jobs")).as_posix()
        'my_jobs/brain_tumor_stats'

    Raises:
        ConfigurationError: If something that is not a job lies there.
    """
    target = folder / recipe.settings.name
    if target.exists() and not (target / "meta.json").is_file():
        raise ConfigurationError(
            f"{target} exists and is not a FLARE job: it has no meta.json; choose another folder"
        )
    private_folder(folder, ours=False)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        recipe.export(temporary)
        if target.exists():
            shutil.rmtree(target)
        (Path(temporary) / recipe.settings.name).replace(target)
    return target
