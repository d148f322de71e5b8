"""The jobs of every task: training, readiness check and statistics, with the task's own settings.

Every folder of `jobs/` is written from here, and a test keeps the two in step.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from consilium.default_task import DEFAULT, MAIN_JOB
from consilium.errors import ConfigurationError
from consilium.recipes.base import JobRecipe
from consilium.recipes.recognition import RECIPES
from consilium.recipes.statistics import StatisticsRecipe
from consilium.settings import apply_changes
from consilium.tasks import TASKS, get_task, task_names
from consilium.tasks.base import Task


@dataclass(frozen=True)
class CatalogEntry:
    """A job of the catalog.

    Attributes:
        recipe: What builds it.
        settings: Those that differ from the recipe's defaults.
    """

    recipe: type[JobRecipe]
    settings: Mapping[str, Any]


def task_jobs(task: Task) -> dict[str, CatalogEntry]:
    """Return the jobs of a task by name.

    Raises:
        ConfigurationError: If the task states settings of a job that no recipe builds.
    """
    stated = task.jobs
    return {
        f"{task.name}_{ending}": _entry(task, ending, stated.get(ending, {}))
        for ending in dict.fromkeys((MAIN_JOB, *stated, "check", "stats", "evaluate"))
    }


def _entry(task: Task, ending: str, stated: Mapping[str, Any]) -> CatalogEntry:
    recipe = find_recipe(ending)
    if recipe is None:
        raise ConfigurationError(
            f"task {task.name!r} has settings of a job that ends in {ending!r}; known: "
            f"{', '.join(RECIPES)}, and names that start with one of them and _"
        )
    if recipe is StatisticsRecipe:
        return CatalogEntry(recipe, {**stated, "task": task.name})
    return CatalogEntry(recipe, {**stated, "learning": {"task": task.name, **stated.get("learning", {})}})


def find_recipe(ending: str) -> type[JobRecipe] | None:
    """Return the recipe of a job by the end of its name; None if no recipe has such jobs.

    Args:
        ending: A name of `RECIPES`, alone or with `_` and more words; the longest one counts.
    """
    known = [name for name in RECIPES if ending == name or ending.startswith(f"{name}_")]
    return RECIPES[max(known, key=len)] if known else None


CATALOG: Final[Mapping[str, CatalogEntry]] = {
    name: entry for task in TASKS.values() for name, entry in task_jobs(task).items()
}
"""The jobs of the tasks that come with Consilium, by name."""


def find_job(name: str) -> CatalogEntry:
    """Return a job of any installed task; no package is imported but the one of the task that it names.

    Raises:
        ConfigurationError: If there is none of that name.
    """
    if name in CATALOG:
        return CATALOG[name]
    owner = max((one for one in task_names() if name.startswith(f"{one}_")), key=len, default=None)
    jobs = dict(CATALOG) if owner is None else task_jobs(get_task(owner))
    if name not in jobs:
        prefix = f"{owner or DEFAULT}_"
        by_ending = {one.removeprefix(prefix): one for one in jobs}
        near = difflib.get_close_matches(name.removeprefix(prefix), by_ending, n=1, cutoff=0.7)
        hint = f"did you mean {by_ending[near[0]]!r}?" if near else f"known: {', '.join(jobs)};"
        raise ConfigurationError(f"no job is named {name!r}; {hint} see `consilium jobs list`")
    return jobs[name]


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
    entry = find_job(name)
    values = apply_changes({"name": name, **entry.settings}, changes or {})
    return entry.recipe.from_values(values, source=f"job {name!r}")
