"""The tasks that a job may name: a job carries names, never a class path, so nothing in it is imported."""

from __future__ import annotations

from collections.abc import Mapping

from consilium.errors import ConfigurationError
from consilium.tasks.base import Task
from consilium.tasks.brain_tumor.task import BrainTumor

TASKS: Mapping[str, Task] = {task.name: task for task in (BrainTumor(),)}


def get_task(name: str) -> Task:
    """Return the task of that name.

    Raises:
        ConfigurationError: If no task has it.
    """
    try:
        return TASKS[name]
    except KeyError:
        raise ConfigurationError(f"no task is named {name!r}; known: {', '.join(sorted(TASKS))}") from None
