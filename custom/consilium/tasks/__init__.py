"""What is learned: one module per imaging problem, found by its name. No nvflare here."""

from consilium.tasks.base import Region, Task
from consilium.tasks.registry import TASKS, get_task

__all__ = ["TASKS", "Region", "Task", "get_task"]
