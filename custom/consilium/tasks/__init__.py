"""Imaging problems: one folder each, found by name. No nvflare here."""

from consilium.tasks.base import Region, Task
from consilium.tasks.registry import DEFAULT, TASKS, get_task, task_names

__all__ = ["DEFAULT", "TASKS", "Region", "Task", "get_task", "task_names"]
